/* gemel-coordinator: options, configuration, log; then coordinator/daemon does the rest. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordinator/daemon.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: gemel-coordinator -c FILE\n"
    "       gemel-coordinator -c FILE --check-config\n"
    "       gemel-coordinator --print-defaults | --version | --help\n"
    "\n"
    "Decides who sends: watches blocklists and nodes, fences, publishes SPF, grants. Run two or more; one "
    "leads.\n"
    "\n"
    "  -c, --config FILE    this host's file; it names the cluster's (default /etc/gemel/coordinator.yaml)\n"
    "      --check-config   read both files, say what is wrong with them, and end\n"
    "      --print-defaults every key of both files with its documentation, bounds and default\n"
    "      --version, --help\n"
    "\n"
    "Runs in the foreground and logs to standard error. SIGTERM, SIGINT: end; the other coordinator takes "
    "the lead when\n"
    "the lease of this one has run out. SIGHUP: read certificates again.\n"
    "Exit codes: 0 ended as asked; 1 could not start (a file, an address, the journal); 2 usage or "
    "configuration.\n";

static int print_defaults(void)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_put(&out, SLICE("# coordinator.yaml: this host\n"));
    opt_print_defaults(&coordinator_conf_table, &out);
    buf_put(&out, SLICE("\n# the cluster's file, the same on every host\n"));
    opt_print_defaults(&cluster_conf_table, &out);
    fputs(buf_cstr(&out), stdout);
    buf_deinit(&out);
    return EXIT_OK;
}

static int run(const struct coordinator_conf *conf)
{
    struct log log;
    struct buf why;
    struct daemon *d;
    log_to_fd(&log, STDERR_FILENO, (enum log_level)conf->log_level);
    buf_init(&why, 4096);
    enum err err = daemon_create(conf, &log, &d, &why);
    if (err) {
        log_error(&log, "coordinator.cannot_start", kv_err("err", err), kv_slice("why", buf_slice(&why)));
    } else {
        log_info(&log, "coordinator.started", kv_cstr("name", conf->name), kv_cstr("version", GEMEL_VERSION),
                 kv_cstr("cluster", conf->cluster.cluster));
        daemon_run(d);
        daemon_destroy(d);
        log_info(&log, "coordinator.ended");
    }
    buf_deinit(&why);
    return err ? EXIT_FAILED : EXIT_OK;
}

static int with_config(const char *file, bool check)
{
    struct opt_source src, cluster_src;
    static struct coordinator_conf conf;
    int code = EXIT_USAGE;
    opt_source_init(&src, file);
    if (coordinator_conf_load(&src, &cluster_src, &conf)) {
        fputs(buf_cstr(&src.errors), stderr);
        fputs(buf_cstr(&cluster_src.errors), stderr);
    } else if (check) {
        printf("%s and %s are fine\n", file, conf.cluster_file);
        code = EXIT_OK;
    } else {
        code = run(&conf);
    }
    coordinator_conf_wipe(&conf);
    opt_source_deinit(&src);
    opt_source_deinit(&cluster_src);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },   { "check-config", no_argument, NULL, 'k' },
        { "print-defaults", no_argument, NULL, 'd' }, { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },           { 0 },
    };
    const char *file = "/etc/gemel/coordinator.yaml";
    bool check = false;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': file = optarg; break;
        case 'k': check = true; break;
        case 'd': return print_defaults();
        case 'V': puts("gemel-coordinator " GEMEL_VERSION); return EXIT_OK;
        case 'h': fputs(usage, stdout); return EXIT_OK;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "gemel-coordinator: unexpected \"%s\"\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    return with_config(file, check);
}
