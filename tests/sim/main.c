/* gemel-sim: many lives of many clusters. See --help. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/sim.h"

static const struct {
    const char *word, *text;
} mutations[] = { [MUTATION_NONE] = { "none", "the protocol as it is" },
#define ROW(name, word_, text_) [MUTATION_##name] = { word_, text_ },
                  MUTATION_MAP(ROW)
#undef ROW
};

struct options {
    struct sim_conf conf;
    uint64_t count, jobs, tail;
    bool trace, verbose;
};

struct totals {
    uint64_t lives, violations, switches, events, emitted;
    char first[256]; /* what the first violation was */
};

static void usage(FILE *out)
{
    fprintf(out,
            "gemel-sim: simulate whole clusters under seeded misfortune and check the invariants\n"
            "\n"
            "  --seed N           first seed (1)\n"
            "  --count M          how many seeds (1000)\n"
            "  --nodes K          2 to %d nodes (by seed)\n"
            "  --coordinators C   1 to %d coordinators (by seed)\n"
            "  --faults A,B,…     only these misfortunes: "
            "crash pause cut isolate store-down store-swap store-restart\n"
            "                     dns-down dns-lies listed zone wall sick disk command lossy\n"
            "  --mail             real queues in every life (otherwise in one of eight)\n"
            "  --trace            print everything that happens (use with --count 1)\n"
            "  --tail N           lines of trace printed for a violation (60)\n"
            "  --jobs N           processes (number of processors)\n"
            "  --bug NAME         leave one line out of the protocol; exit code 0 when it is found:\n",
            SIM_NODES_MAX, SIM_COORDS_MAX);
    for (size_t i = 1; i < ARRAY_LEN(mutations); i++)
        fprintf(out, "      %-22s %s\n", mutations[i].word, mutations[i].text);
    fprintf(out,
            "\nExit code: 0 no violation, 1 a violation (its seed and trace are printed), 2 wrong usage\n");
}

static void print_tail(struct slice text, uint64_t lines)
{
    size_t from = text.n;
    for (uint64_t k = 0; from && k <= lines; k++) {
        from--;
        while (from && text.p[from - 1] != '\n') from--;
    }
    fwrite(text.p + from, 1, text.n - from, stdout);
}

/* The same life again, this time writing everything down. */
static void tell(const struct options *o, uint64_t seed, uint64_t lines)
{
    struct sim_conf conf = o->conf;
    conf.seed = seed;
    conf.trace = true;
    struct sim *w = sim_create(&conf);
    sim_run(w);
    print_tail(buf_slice(&w->trace), lines);
    if (w->violation[0])
        printf("seed %" PRIu64 ": VIOLATION at %.3f s: %s\n", seed, (double)w->now_ms / 1000, w->violation);
    sim_destroy(w);
    fflush(stdout);
}

static void live(const struct options *o, uint64_t first, uint64_t step, struct totals *t)
{
    for (uint64_t k = first; k < o->count; k += step) {
        struct sim_conf conf = o->conf;
        conf.seed += k;
        struct sim *w = sim_create(&conf);
        sim_run(w);
        t->lives++;
        t->switches += w->switches;
        t->events += w->events;
        t->emitted += w->emitted + w->delivered;
        bool bad = w->violation[0] != '\0';
        if (bad && !t->first[0]) snprintf(t->first, sizeof t->first, "%s", w->violation);
        sim_destroy(w);
        if (!bad) continue;
        t->violations++;
        if (t->violations <= 3 && !mutation_now) tell(o, conf.seed, o->tail);
        if (mutation_now) break;
    }
}

static void run_jobs(const struct options *o, struct totals *sum)
{
    int fds[64][2];
    for (uint64_t j = 0; j < o->jobs; j++) {
        if (pipe(fds[j])) abort();
        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0) abort();
        if (pid) continue;
        struct totals t = { 0 };
        live(o, j, o->jobs, &t);
        if (write(fds[j][1], &t, sizeof t) != (ssize_t)sizeof t) _exit(3);
        _exit(0);
    }
    for (uint64_t j = 0; j < o->jobs; j++) {
        struct totals t = { 0 };
        close(fds[j][1]);
        if (read(fds[j][0], &t, sizeof t) != (ssize_t)sizeof t)
            t = (struct totals){ .violations = 1, .first = "the process died" };
        close(fds[j][0]);
        sum->lives += t.lives, sum->violations += t.violations, sum->switches += t.switches;
        sum->events += t.events, sum->emitted += t.emitted;
        if (!sum->first[0]) memcpy(sum->first, t.first, sizeof sum->first);
        wait(NULL);
    }
}

static uint64_t number(const char *text, uint64_t lo, uint64_t hi)
{
    uint64_t v;
    if (slice_u64(slice_of(text), hi, &v) || v < lo) {
        fprintf(stderr, "gemel-sim: %s is not a number from %" PRIu64 " to %" PRIu64 "\n", text, lo, hi);
        exit(2);
    }
    return v;
}

static void set_bug(const char *word)
{
    for (size_t i = 1; i < ARRAY_LEN(mutations); i++)
        if (strcmp(mutations[i].word, word) == 0) mutation_now = (enum mutation)i;
    if (mutation_now) return;
    fprintf(stderr, "gemel-sim: no bug is called %s; --help lists them\n", word);
    exit(2);
}

static uint32_t faults_of(struct slice list)
{
    static const char *const names[] = SIM_FAULT_NAMES;
    uint32_t set = 0;
    for (struct slice one; slice_cut(&list, ',', &one);) {
        uint32_t bit = 0;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (slice_eq(one, slice_of(names[i]))) bit = BIT(i);
        if (!bit) {
            fprintf(stderr, "gemel-sim: no misfortune is called %.*s; --help lists them\n", SLICE_ARG(one));
            exit(2);
        }
        set |= bit;
    }
    return set;
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        { "seed", 1, NULL, 's' },         { "count", 1, NULL, 'c' }, { "nodes", 1, NULL, 'n' },
        { "coordinators", 1, NULL, 'C' }, { "trace", 0, NULL, 't' }, { "mail", 0, NULL, 'm' },
        { "faults", 1, NULL, 'f' },       { "tail", 1, NULL, 'T' },  { "jobs", 1, NULL, 'j' },
        { "bug", 1, NULL, 'b' },          { "help", 0, NULL, 'h' },  { NULL, 0, NULL, 0 },
    };
    for (int k; (k = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        switch (k) {
        case 's': o->conf.seed = number(optarg, 0, UINT64_MAX - 1); break;
        case 'c': o->count = number(optarg, 1, UINT64_MAX - 1); break;
        case 'n': o->conf.nodes = (uint8_t)number(optarg, 2, SIM_NODES_MAX); break;
        case 'C': o->conf.coords = (uint8_t)number(optarg, 1, SIM_COORDS_MAX); break;
        case 't': o->trace = true; break;
        case 'm': o->conf.mail = true; break;
        case 'f': o->conf.faults = faults_of(slice_of(optarg)); break;
        case 'T': o->tail = number(optarg, 0, 1000000); break;
        case 'j': o->jobs = number(optarg, 1, 64); break;
        case 'b': set_bug(optarg); break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    }
    if (optind == argc) return;
    usage(stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct options o = { .conf.seed = 1,
                         .count = 1000,
                         .tail = 60,
                         .jobs = (uint64_t)(cpus < 1    ? 1
                                            : cpus > 64 ? 64
                                                        : cpus) };
    parse(argc, argv, &o);
    if (o.trace) {
        for (uint64_t k = 0; k < o.count; k++) tell(&o, o.conf.seed + k, UINT64_MAX - 1);
        return 0;
    }
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    struct totals t = { 0 };
    run_jobs(&o, &t);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double s = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    printf("%" PRIu64 " lives, %" PRIu64 " switches, %" PRIu64 " messages, %" PRIu64
           " events in %.1f s (%.0f lives/s); "
           "violations: %" PRIu64 "\n",
           t.lives, t.switches, t.emitted, t.events, s, (double)t.lives / s, t.violations);
    if (mutation_now) {
        printf("bug %s: %s%s\n", mutations[mutation_now].word, t.violations ? "found: " : "NOT FOUND",
               t.first);
        return t.violations ? 0 : 1;
    }
    return t.violations ? 1 : 0;
}
