/* gemel-node: options, configuration, log; then node/node_uv does the rest. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "node/conf.h"
#include "node/node_uv.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: gemel-node -c FILE [--solo]\n"
    "       gemel-node -c FILE [--solo] --check-config\n"
    "       gemel-node --print-defaults | --version | --help\n"
    "\n"
    "Takes mail in, keeps it on disk, and sends it out while a coordinator lets it.\n"
    "\n"
    "  -c, --config FILE    this host's file; it names the cluster's (default /etc/gemel/node.yaml)\n"
    "      --solo           one node alone: no Redis, no coordinator, sends from its only identity\n"
    "      --check-config   read both files, say what is wrong with them, and end\n"
    "      --print-defaults every key of both files with its documentation, bounds and default\n"
    "      --version, --help\n"
    "\n"
    "Runs in the foreground and logs to standard error. SIGTERM: finish sessions and end. SIGHUP: read "
    "certificates and relay.rules again.\n"
    "Exit codes: 0 ended as asked; 1 could not start (a file, an address, a damaged queue); 2 usage or "
    "configuration.\n";

struct options {
    const char *config;
    bool solo, check;
};

static int print_defaults(void)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_put(&out, SLICE("# node.yaml: this host\n"));
    opt_print_defaults(&node_conf_table, &out);
    buf_put(&out, SLICE("\n# the cluster's file, the same on every host\n"));
    opt_print_defaults(&cluster_conf_table, &out);
    fputs(buf_cstr(&out), stdout);
    buf_deinit(&out);
    return EXIT_OK;
}

static int run(const struct node_conf *conf, bool solo)
{
    struct log log;
    struct buf why;
    struct node *node;
    log_to_fd(&log, STDERR_FILENO, (enum log_level)conf->log_level);
    buf_init(&why, 4096);
    enum err err = node_create(conf, solo, &log, &node, &why);
    if (err) {
        log_error(&log, "node.cannot_start", kv_err("err", err), kv_slice("why", buf_slice(&why)));
    } else {
        node_run(node);
        node_destroy(node);
        log_info(&log, "node.ended");
    }
    buf_deinit(&why);
    return err ? EXIT_FAILED : EXIT_OK;
}

static int with_config(const struct options *o)
{
    struct opt_source src, cluster_src;
    static struct node_conf conf;
    int code = EXIT_USAGE;
    opt_source_init(&src, o->config);
    if (node_conf_load(&src, &cluster_src, o->solo, &conf)) {
        fputs(buf_cstr(&src.errors), stderr);
        fputs(buf_cstr(&cluster_src.errors), stderr);
    } else if (o->check) {
        printf("%s and %s are fine\n", o->config, conf.cluster_file);
        code = EXIT_OK;
    } else {
        code = run(&conf, o->solo);
    }
    opt_source_deinit(&src);
    opt_source_deinit(&cluster_src);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "solo", no_argument, NULL, 's' },
        { "check-config", no_argument, NULL, 'k' },
        { "print-defaults", no_argument, NULL, 'd' },
        { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct options o = { .config = "/etc/gemel/node.yaml" };
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': o.config = optarg; break;
        case 's': o.solo = true; break;
        case 'k': o.check = true; break;
        case 'd': return print_defaults();
        case 'V': puts("gemel-node " GEMEL_VERSION); return EXIT_OK;
        case 'h': fputs(usage, stdout); return EXIT_OK;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "gemel-node: unexpected \"%s\"\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    return with_config(&o);
}
