#include "base/loop_uv.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/crew_uv.h"
#include "base/mailbox_uv.h"
#include "base/timers.h"
#include "tests/base/peer.h"
#include "tests/test.h"

static struct loop *new_loop(void)
{
    struct loop *l = NULL;
    assert_int_equal(loop_create(NULL, &l), ERR_OK);
    return l;
}

struct fired {
    struct timer t;
    struct loop *loop;
    uint64_t at_ms;
};

static void on_timer(struct timer *t)
{
    struct fired *f = t->owner;
    f->at_ms = clock_boot_ms(NULL);
}

TEST(timers_run_when_due_and_a_cleared_one_does_not)
{
    struct loop *l = new_loop();
    struct timers *ts = loop_env(l)->timers;
    struct fired soon = { .loop = l }, late = { .loop = l }, never = { .loop = l };
    uint64_t start = timers_now_ms(ts);
    timer_set_in(ts, &late.t, 60, on_timer, &late);
    timer_set_in(ts, &soon.t, 20, on_timer, &soon);
    timer_set_in(ts, &never.t, 10, on_timer, &never);
    timer_clear(ts, &never.t);
    RUN_UNTIL(l, late.at_ms);
    assert_true(soon.at_ms >= start + 20 && soon.at_ms <= late.at_ms);
    assert_true(late.at_ms >= start + 60);
    assert_int_equal(never.at_ms, 0);
    loop_destroy(l);
}

static void again_at_once(struct timer *t)
{
    struct fired *f = t->owner;
    f->at_ms++;
    timer_set_in(loop_env(f->loop)->timers, t, 0, again_at_once, f);
}

TEST(a_timer_that_is_always_due_does_not_starve_the_rest)
{
    struct loop *l = new_loop();
    struct fired busy = { .loop = l }, other = { .loop = l };
    timer_set_in(loop_env(l)->timers, &busy.t, 0, again_at_once, &busy);
    timer_set_in(loop_env(l)->timers, &other.t, 20, on_timer, &other);
    RUN_UNTIL(l, other.at_ms);
    assert_true(busy.at_ms > 100);
    timer_clear(loop_env(l)->timers, &busy.t);
    loop_destroy(l);
}

static void stop_it(void *owner)
{
    loop_stop(owner);
}

static void *post_stop(void *owner)
{
    usleep(10000);
    assert_int_equal(loop_post(owner, stop_it, owner), ERR_OK);
    return NULL;
}

TEST(a_post_from_another_thread_wakes_a_sleeping_loop)
{
    struct loop *l = new_loop();
    pthread_t t;
    pthread_create(&t, NULL, post_stop, l);
    loop_run(l);
    pthread_join(t, NULL);
    loop_stop(l); /* before it runs: remembered */
    loop_run(l);
    loop_destroy(l);
}

enum { POSTERS = 4, POSTS = 20000 };
struct counted {
    struct mailbox *m;
    size_t next[POSTERS], total;
    bool out_of_order;
    size_t who;
};

static void count(void *owner, void *arg)
{
    struct counted *c = owner;
    size_t who = (uintptr_t)arg >> 32, n = (uint32_t)(uintptr_t)arg;
    if (c->next[who]++ != n) c->out_of_order = true;
    c->total++;
}

struct poster {
    struct counted *c;
    uintptr_t who;
};

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (uintptr_t i = 0; i < POSTS; i++)
        while (mailbox_post(p->c->m, count, p->c, (void *)(p->who << 32 | i)) == ERR_LIMIT) usleep(50);
    return NULL;
}

TEST(many_threads_post_into_one_bounded_mailbox_and_each_keeps_its_order)
{
    struct loop *l = new_loop();
    struct counted c = { .m = mailbox_create(l, 100) };
    struct poster posters[POSTERS];
    pthread_t t[POSTERS];
    for (size_t i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){ &c, i };
        pthread_create(&t[i], NULL, post_many, &posters[i]);
    }
    RUN_UNTIL(l, c.total == POSTERS * POSTS);
    for (size_t i = 0; i < POSTERS; i++) pthread_join(t[i], NULL);
    assert_false(c.out_of_order);
    mailbox_destroy(c.m, NULL);
    loop_destroy(l);
}

static size_t dropped;
static void drop(mailbox_fn *fn, void *owner, void *arg)
{
    dropped++;
}

TEST(a_full_mailbox_says_so_and_a_destroyed_one_gives_back_what_it_holds)
{
    struct loop *l = new_loop();
    struct counted c = { .m = mailbox_create(l, 3) };
    for (uintptr_t i = 0; i < 5; i++)
        assert_int_equal(mailbox_post(c.m, count, &c, (void *)i), i < 3 ? ERR_OK : ERR_LIMIT);
    assert_int_equal(mailbox_waiting(c.m), 3);
    dropped = 0;
    mailbox_destroy(c.m, drop);
    assert_int_equal(dropped, 3);
    loop_destroy(l);
    assert_int_equal(c.total, 0);
}

static void sleep_long(void *owner)
{
    usleep(1600000);
}

static void stalled(void *owner, uint64_t gap_ms)
{
    *(uint64_t *)owner = gap_ms;
}

TEST(a_stall_is_noticed_and_measured)
{
    struct loop *l = new_loop();
    uint64_t gap_ms = 0;
    loop_on_stall(l, 1500, stalled, &gap_ms);
    loop_run_for(l, 600);
    assert_int_equal(gap_ms, 0);
    assert_true(loop_gap_max_ms(l) >= LOOP_TICK_MS);
    assert_int_equal(loop_post(l, sleep_long, NULL), ERR_OK);
    RUN_UNTIL(l, gap_ms);
    assert_true(gap_ms > 1500 && loop_gap_max_ms(l) >= gap_ms);
    assert_true(clock_boot_ms(NULL) - loop_last_tick_ms(l) < 1500);
    loop_gap_reset(l);
    assert_int_equal(loop_gap_max_ms(l), 0);
    loop_destroy(l);
}

static void on_signal(void *owner, int signo)
{
    *(int *)owner = signo;
}

TEST(signals_arrive_as_callbacks)
{
    struct loop *l = new_loop();
    int got = 0;
    loop_on_signal(l, on_signal, &got);
    static const int signals[] = { SIGTERM, SIGHUP, SIGINT };
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        kill(getpid(), signals[i]);
        RUN_UNTIL(l, got == signals[i]);
    }
    loop_on_signal(l, NULL, NULL);
    loop_destroy(l);
}

struct job {
    atomic_int started, stopped, posted;
    size_t fails_at;
};

static enum err job_start(void *owner, size_t i, struct loop *l)
{
    struct job *j = owner;
    if (i == j->fails_at) return ERR_REFUSED;
    j->started++;
    return ERR_OK;
}

static void job_stop(void *owner, size_t i, struct loop *l)
{
    ((struct job *)owner)->stopped++;
}

static void job_post(void *owner)
{
    ((struct job *)owner)->posted++;
}

TEST(a_crew_starts_together_works_and_stops_together)
{
    struct job j = { .fails_at = SIZE_MAX };
    struct crew_job conf = { "tester", job_start, job_stop, &j };
    struct crew *c = NULL;
    assert_int_equal(crew_create(4, NULL, &conf, &c), ERR_OK);
    assert_int_equal(j.started, 4);
    for (size_t i = 0; i < crew_size(c); i++)
        assert_int_equal(loop_post(crew_loop(c, i), job_post, &j), ERR_OK);
    for (int i = 0; i < 1000 && j.posted < 4; i++) usleep(1000);
    assert_int_equal(j.posted, 4);
    crew_destroy(c);
    assert_int_equal(j.stopped, 4);
}

TEST(when_one_of_a_crew_cannot_start_none_stays)
{
    struct job j = { .fails_at = 2 };
    struct crew_job conf = { "tester", job_start, job_stop, &j };
    struct crew *c = NULL;
    assert_int_equal(crew_create(4, NULL, &conf, &c), ERR_REFUSED);
    assert_null(c);
    assert_int_equal(j.started, j.stopped);
}
