#include "node/queue/spool_lmdb_uv.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crew_uv.h"
#include "base/loop_uv.h"
#include "base/timers.h"
#include "node/queue/spool_db.h"
#include "tests/test.h"

struct world {
    struct spool *s;
    struct spool_put *orphan;
    char dir[64];
    struct loop *loop;
    struct spool_lmdb *l;
    uint64_t map_bytes, max_bytes;
    bool default_reserve;
};

static enum err try_open(struct world *w, char why[static SPOOL_WHY_MAX])
{
    struct spool_lmdb_conf conf = { .dir = w->dir,
                                    .map_bytes = w->map_bytes,
                                    .max_bytes = w->max_bytes,
                                    .min_free_bytes = !w->default_reserve };
    return spool_lmdb_open(&conf, NULL, &w->l, why);
}

static void start(struct world *w)
{
    char why[SPOOL_WHY_MAX];
    assert_int_equal(loop_create(NULL, &w->loop), ERR_OK);
    if (try_open(w, why)) fail_msg("%s", why);
    w->s = spool_lmdb_attach(w->l, w->loop);
}

static void stop(struct world *w)
{
    spool_lmdb_detach(w->s);
    spool_lmdb_close(w->l);
    loop_destroy(w->loop);
}

static void make_dir(struct world *w)
{
    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/gemel-spool-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
}

static void world_open(struct world *w)
{
    make_dir(w);
    start(w);
}

static void on_flushed(void *owner, enum err err, const char *why)
{
    loop_stop(owner);
}

/* A write of our own comes back after everything written before it. A discard may follow an answer: twice. */
static void world_settle(struct world *w)
{
    struct queue_id none;
    assert_int_equal(queue_id_parse(SLICE("ZZZZZZZZZZZZZZZZZZ"), &none), ERR_OK);
    for (int i = 0; i < 2; i++) {
        spool_remove(w->s, &none, on_flushed, w->loop);
        loop_run(w->loop);
    }
}

/* A crash and a restart: with an orphan the process is taken to have died without a word. */
static void world_reopen(struct world *w)
{
    if (w->orphan) {
        char copy[sizeof w->dir + 8], command[300];
        snprintf(copy, sizeof copy, "%s.copy", w->dir);
        snprintf(command, sizeof command, "cp -r %s %s", w->dir, copy);
        assert_int_equal(system(command), 0);
        stop(w);
        snprintf(command, sizeof command, "rm -r %s && mv %s %s", w->dir, copy, w->dir);
        assert_int_equal(system(command), 0);
        w->orphan = NULL;
    } else {
        stop(w);
    }
    start(w);
}

static void remove_dir(struct world *w)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    assert_int_equal(system(command), 0);
}

static void world_close(struct world *w)
{
    stop(w);
    remove_dir(w);
}

#include "tests/node/queue/spool_contract.h"

TEST(the_map_grows_under_the_messages)
{
    struct world w;
    make_dir(&w);
    w.map_bytes = MIB(1);
    start(&w);
    for (unsigned i = 0; i < 8; i++) assert_int_equal(store(&w, i, 900000, NULL), ERR_OK);
    for (unsigned i = 0; i < 8; i++) assert_body(&w, i, 900000);
    world_reopen(&w);
    for (unsigned i = 0; i < 8; i++) assert_body(&w, i, 900000);
    world_close(&w);
}

static void run_until(struct world *w, const int *runs)
{
    for (int i = 0; i < 200 && !*runs; i++) loop_run_for(w->loop, 50);
    assert_int_equal(*runs, 1);
}

/* As store(), but the body may be refused already. */
static enum err try_store(struct world *w, unsigned n, size_t bytes)
{
    struct answer a = { 0 };
    struct envelope e = test_envelope(n);
    struct spool_put *p = spool_put_begin(w->s, &e.id, NULL, NULL);
    for (size_t i = 0; i < bytes; i++) {
        char c = body_byte(i);
        if (spool_put_body(p, slice_from(&c, 1))) break;
    }
    spool_put_commit(p, &e, NULL, on_answer, &a);
    world_settle(w);
    run_until(w, &a.runs);
    return a.err;
}

TEST(a_spool_at_its_limit_refuses_puts_keeps_what_it_has_and_takes_mail_again_after_a_remove)
{
    struct world w;
    unsigned n = 0;
    make_dir(&w);
    w.map_bytes = MIB(1);
    w.max_bytes = MIB(4);
    start(&w);
    while (try_store(&w, n, 600000) == ERR_OK) n++;
    assert_in_range(n, 2, 9);
    struct spool_stats st;
    spool_stats(w.s, &st);
    assert_int_equal(st.messages[FLOW_IN] + st.messages[FLOW_OUT], n);
    for (unsigned i = 0; i < n; i++) assert_body(&w, i, 600000);
    assert_body(&w, n, 0);

    for (unsigned i = 0; i < n; i++) {
        struct queue_id id = test_id(i);
        spool_remove(w.s, &id, NULL, NULL);
    }
    for (int i = 0; i < 100; i++) {
        loop_run_for(w.loop, 50);
        spool_stats(w.s, &st);
        if (st.accepting) break;
    }
    assert_string_equal(st.why, "");
    assert_true(st.accepting);
    assert_int_equal(store(&w, 100, 600000, NULL), ERR_OK);
    world_close(&w);
}

/* Writes past `bytes` fail with EFBIG, which stands for ENOSPC and EIO. */
static void limit_files(rlim_t bytes)
{
    struct rlimit lim;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &lim);
    lim.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
}

TEST(a_spool_smaller_than_the_usual_reserve_takes_mail)
{
    struct world w;
    struct spool_stats stats;
    make_dir(&w);
    w.max_bytes = MIB(16); /* the least that may be configured */
    w.default_reserve = true;
    start(&w);
    spool_stats(w.s, &stats);
    assert_true(stats.accepting);
    world_close(&w);
}

TEST(a_disk_that_fails_in_mid_message_gives_retry_and_loses_nothing)
{
    struct world w;
    struct answer put = { 0 }, updated = { 0 };
    struct envelope e = test_envelope(2);
    struct arena a = { 0 };
    struct spool_stats st;
    world_open(&w);
    assert_int_equal(store(&w, 1, 200000, NULL), ERR_OK);

    limit_files(8192);
    struct queue_id id = test_id(2);
    struct spool_put *p = spool_put_begin(w.s, &id, NULL, NULL);
    char filler[10000] = { 0 };
    for (int i = 0; i < 40; i++)
        if (spool_put_body(p, slice_from(filler, sizeof filler))) break;
    spool_put_commit(p, &e, NULL, on_answer, &put);
    run_until(&w, &put.runs);
    assert_int_equal(put.err, ERR_RETRY);
    spool_stats(w.s, &st);
    assert_false(st.accepting);
    assert_true(strlen(st.why) > 0);

    assert_int_equal(load(&w, 1, &a, &e), ERR_OK);
    e.rcpts[0].state = RCPT_SENT;
    spool_update(w.s, &e, on_answer, &updated);
    loop_run_for(w.loop, 300);
    assert_int_equal(updated.runs, 0); /* kept, not failed */

    limit_files(RLIM_INFINITY);
    run_until(&w, &updated.runs);
    assert_int_equal(updated.err, ERR_OK);
    spool_stats(w.s, &st);
    assert_true(st.accepting);
    assert_int_equal(store(&w, 3, 200000, NULL), ERR_OK);
    world_reopen(&w);
    assert_body(&w, 1, 200000);
    assert_body(&w, 2, 0);
    assert_body(&w, 3, 200000);
    assert_int_equal(load(&w, 1, &a, &e), ERR_OK);
    assert_int_equal(e.rcpts[0].state, RCPT_SENT);
    arena_deinit(&a);
    world_close(&w);
}

TEST(a_process_that_ends_on_a_failing_disk_does_not_hang)
{
    struct world w;
    struct queue_id id = test_id(1);
    world_open(&w);
    assert_int_equal(store(&w, 1, 100, NULL), ERR_OK);
    limit_files(8192);
    spool_remove(w.s, &id, NULL, NULL);
    loop_run_for(w.loop, 100);
    stop(&w);
    limit_files(RLIM_INFINITY);
    start(&w);
    world_close(&w);
}

TEST(a_second_process_is_told_that_the_spool_is_taken)
{
    struct world w, second;
    char why[SPOOL_WHY_MAX];
    world_open(&w);
    second = w;
    assert_int_equal(try_open(&second, why), ERR_CONFLICT);
    assert_non_null(strstr(why, "another process"));
    assert_non_null(strstr(why, w.dir));
    world_close(&w);
}

static void overwrite(struct world *w, off_t at, const char *bytes, size_t n)
{
    char path[100];
    snprintf(path, sizeof path, "%s/data.mdb", w->dir);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

TEST(a_spool_that_is_none_or_was_cut_short_is_refused_with_its_name)
{
    struct world w;
    char why[SPOOL_WHY_MAX], junk[8192], path[100];
    memset(junk, 'x', sizeof junk);
    world_open(&w);
    for (unsigned i = 0; i < 20; i++) assert_int_equal(store(&w, i, 200000, NULL), ERR_OK);
    stop(&w);

    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(truncate(path, 1000000), 0);
    assert_int_equal(try_open(&w, why), ERR_MALFORMED);
    assert_non_null(strstr(why, "cut short"));
    assert_non_null(strstr(why, w.dir));

    overwrite(&w, 0, junk, sizeof junk);
    assert_int_equal(try_open(&w, why), ERR_MALFORMED);
    assert_non_null(strstr(why, "damaged"));
    remove_dir(&w);
}

TEST(a_damaged_record_is_told_apart_and_can_be_removed)
{
    struct world w;
    struct arena a = { 0 };
    struct envelope e;
    struct queue_id id = test_id(1);
    world_open(&w);
    assert_int_equal(store(&w, 1, 100, NULL), ERR_OK);
    assert_int_equal(store(&w, 2, 100, NULL), ERR_OK);
    stop(&w);
    char path[100], data[200000];
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    FILE *f = fopen(path, "r");
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    for (size_t at = 0; at + 18 < n;
         at++) /* every copy of message 1's own record, by its id inside the envelope */
        if (memcmp(data + at,
                   "\x12\x12"
                   "000000000000000001",
                   20) == 0)
            overwrite(&w, (off_t)at + 25, "\xff", 1);
    start(&w);
    assert_int_equal(load(&w, 1, &a, &e), ERR_MALFORMED);
    assert_int_equal(load(&w, 2, &a, &e), ERR_OK);
    spool_remove(w.s, &id, NULL, NULL);
    world_settle(&w);
    assert_int_equal(load(&w, 1, &a, &e), ERR_NOT_FOUND);
    arena_deinit(&a);
    world_close(&w);
}

TEST(a_newer_format_is_refused_and_says_so)
{
    struct world w;
    char why[SPOOL_WHY_MAX];
    world_open(&w);
    stop(&w);
    char path[100], data[200000];
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    FILE *f = fopen(path, "r");
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    for (size_t at = 0; at + 10 <= n; at++)
        if (memcmp(data + at, "format\0\0\0\1", 10) == 0) overwrite(&w, (off_t)at + 9, "\2", 1);
    assert_int_equal(try_open(&w, why), ERR_REFUSED);
    assert_non_null(strstr(why, "format 2"));
    remove_dir(&w);
}

struct flood {
    struct world *w;
    unsigned next, answered, target;
    bool paused;
};

static void flood_answer(void *owner, enum err err, const char *why)
{
    struct flood *f = owner;
    assert_int_equal(err, ERR_OK);
    if (++f->answered == f->target) loop_stop(f->w->loop);
}

TEST(many_messages_share_one_sync)
{
    struct world w;
    struct flood f = { .w = &w, .target = 2000 };
    struct spool_stats st;
    world_open(&w);
    for (; f.next < f.target; f.next++) {
        struct envelope e = test_envelope(f.next);
        spool_put_commit(begin_with_body(&w, f.next, 1000), &e, NULL, flood_answer, &f);
    }
    loop_run(w.loop);
    spool_stats(w.s, &st);
    assert_int_equal(st.messages[FLOW_IN] + st.messages[FLOW_OUT], 2000);
    assert_true(st.commits < 200);
    world_close(&w);
}

static void on_room(void *owner)
{
    struct flood *f = owner;
    f->paused = false;
    loop_stop(f->w->loop);
}

TEST(a_put_that_outruns_the_disk_is_blocked_until_there_is_room)
{
    struct world w;
    struct flood f = { .w = &w };
    struct answer a = { 0 };
    struct queue_id id = test_id(1);
    struct envelope e = test_envelope(1);
    static char mib[1 << 20];
    int pauses = 0;
    world_open(&w);
    struct spool_put *p = spool_put_begin(w.s, &id, on_room, &f);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(spool_put_body(p, slice_from(mib, sizeof mib)), ERR_OK);
        if (!spool_put_blocked(p)) continue;
        pauses++;
        f.paused = true;
        while (f.paused) loop_run(w.loop);
        assert_false(spool_put_blocked(p));
    }
    assert_true(pauses > 0);
    spool_put_commit(p, &e, NULL, on_answer, &a);
    run_until(&w, &a.runs);
    assert_int_equal(a.err, ERR_OK);
    struct arena arena = { 0 };
    assert_int_equal(load(&w, 1, &arena, &e), ERR_OK);
    assert_int_equal(e.size_bytes, MIB(200));
    assert_int_equal(e.chunks, 3200);
    arena_deinit(&arena);
    world_close(&w);
}

/* ---- several loops ---- */

enum { LOOPS = 4, PER_LOOP = 400, AT_ONCE = 20 };

struct hand { /* one loop's part */
    struct crowd *c;
    struct spool *s;
    unsigned first, next, removed;
};

struct crowd {
    struct spool_lmdb *l;
    struct hand hands[LOOPS];
    _Atomic unsigned finished, bad;
};

struct errand {
    struct hand *h;
    unsigned n;
};

static void errand_next(struct errand *r);

static void errand_removed(void *owner, enum err err, const char *why)
{
    struct errand *r = owner;
    struct hand *h = r->h;
    if (err) h->c->bad++;
    if (++h->removed == PER_LOOP / 2) h->c->finished++;
    errand_next(r);
}

/* Reads back what it stored, at once; every second message goes again. */
static void errand_stored(void *owner, enum err err, const char *why)
{
    struct errand *r = owner;
    struct arena a = { 0 };
    struct envelope e;
    struct buf b;
    struct queue_id id = test_id(r->n);
    buf_init(&b, SPOOL_CHUNK_BYTES);
    if (err || spool_envelope(r->h->s, &id, &a, &e) || e.size_bytes != 3000 ||
        spool_chunk(r->h->s, &id, 0, &b) || buf_len(&b) != 3000)
        r->h->c->bad++;
    buf_deinit(&b);
    arena_deinit(&a);
    if (r->n % 2)
        spool_remove(r->h->s, &id, errand_removed, r);
    else
        errand_next(r);
}

static void errand_next(struct errand *r)
{
    struct world w = { .s = r->h->s };
    if (r->h->next == r->h->first + PER_LOOP) {
        free(r);
        return;
    }
    r->n = r->h->next++;
    struct envelope e = test_envelope(r->n);
    spool_put_commit(begin_with_body(&w, r->n, 3000), &e, NULL, errand_stored, r);
}

static enum err hand_start(void *owner, size_t i, struct loop *l)
{
    struct crowd *c = owner;
    struct hand *h = &c->hands[i];
    *h = (struct hand){ c, spool_lmdb_attach(c->l, l), (unsigned)i * PER_LOOP, (unsigned)i * PER_LOOP, 0 };
    for (int k = 0; k < AT_ONCE; k++) {
        struct errand *r = xzalloc(sizeof *r);
        r->h = h;
        errand_next(r);
    }
    return ERR_OK;
}

static void hand_stop(void *owner, size_t i, struct loop *l)
{
    spool_lmdb_detach(((struct crowd *)owner)->hands[i].s);
}

TEST(four_loops_store_read_and_remove_at_once_while_one_watches)
{
    struct world w;
    struct crowd c = { 0 };
    struct stored heard = { 0 };
    struct spool_stats st;
    struct crew *crew;
    make_dir(&w);
    w.map_bytes = MIB(1); /* so that it grows under their hands */
    start(&w);
    spool_watch(w.s, on_stored, &heard);
    c.l = w.l;
    assert_int_equal(crew_create(LOOPS, NULL, &(struct crew_job){ "hand", hand_start, hand_stop, &c }, &crew),
                     ERR_OK);
    for (int i = 0; i < 600 && (c.finished < LOOPS || heard.n < LOOPS * PER_LOOP); i++)
        loop_run_for(w.loop, 50);
    crew_destroy(crew);
    assert_int_equal(c.bad, 0);
    assert_int_equal(c.finished, LOOPS);
    assert_int_equal(heard.n, LOOPS * PER_LOOP);
    spool_stats(w.s, &st);
    assert_int_equal(st.messages[FLOW_IN] + st.messages[FLOW_OUT], LOOPS * PER_LOOP / 2);
    world_close(&w);
}

/* ---- kill -9: a child stores and tells by a pipe what was acknowledged; the parent kills it and counts ---- */

struct child {
    struct world *w;
    int fd;
    unsigned next;
    struct child_put {
        struct child *c;
        unsigned n;
    } puts[32];
};

static void child_put_next(struct child_put *cp);

static void child_answer(void *owner, enum err err, const char *why)
{
    struct child_put *cp = owner;
    if (err || write(cp->c->fd, &cp->n, sizeof cp->n) != sizeof cp->n) _exit(1);
    if (cp->n % 3 == 0) { /* every third goes again, as delivered mail does */
        struct queue_id id = test_id(cp->n);
        spool_remove(cp->c->w->s, &id, NULL, NULL);
    }
    child_put_next(cp);
}

static void child_put_next(struct child_put *cp)
{
    struct envelope e = test_envelope(cp->n = cp->c->next++);
    size_t size = cp->n % 10 == 0 ? 150000 : 3000;
    spool_put_commit(begin_with_body(cp->c->w, cp->n, size), &e, NULL, child_answer, cp);
}

static void child_run(struct world *w, int fd, unsigned first)
{
    struct child c = { .w = w, .fd = fd, .next = first };
    start(w);
    for (size_t i = 0; i < ARRAY_LEN(c.puts); i++) {
        c.puts[i].c = &c;
        child_put_next(&c.puts[i]);
    }
    loop_run(w->loop);
    _exit(1);
}

static unsigned read_acks(int fd, bool *acked, unsigned max)
{
    unsigned n, count = 0;
    while (read(fd, &n, sizeof n) == sizeof n) {
        assert_true(n < max);
        acked[n] = true;
        count++;
    }
    return count;
}

static void check_acked(struct world *w, const bool *acked, unsigned max)
{
    unsigned missing = 0;
    start(w);
    for (unsigned n = 0; n < max; n++) {
        if (!acked[n] || n % 3 == 0) continue;
        if (!has(w, n)) missing++;
        if (n % 7 == 0) assert_body(w, n, n % 10 == 0 ? 150000 : 3000);
    }
    assert_int_equal(missing, 0);
    stop(w);
}

TEST(every_acknowledged_message_survives_kill_9)
{
    enum { KILLS = 12, PER_RUN = 20000 };
    struct world w;
    static bool acked[KILLS * PER_RUN];
    unsigned total = 0;
    make_dir(&w);
    for (unsigned k = 0; k < KILLS; k++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
        pid_t pid = fork();
        if (pid == 0) {
            close(fds[0]);
            child_run(&w, fds[1], k * PER_RUN);
        }
        close(fds[1]);
        usleep(40000 + k * 17000);
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        total += read_acks(fds[0], acked, ARRAY_LEN(acked));
        close(fds[0]);
        check_acked(&w, acked, (k + 1) * PER_RUN);
    }
    print_message("%u acknowledged, %d kills, none lost\n", total, KILLS);
    assert_true(total > 0);
    remove_dir(&w);
}
