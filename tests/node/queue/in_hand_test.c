#include "node/queue/in_hand.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

static const struct queue_id id = { "01JF5T9QK3M2000001" }, other = { "01JF5T9QK3M2000002" };
enum end { END_ABORT, END_SEGV, END_KILL, END_WELL };

struct place {
    char dir[64];
    struct disk disk;
    struct in_hand_suspects s;
};

static void place_init(struct place *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/gemel-in-hand-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    disk_os(&p->disk);
}

static void place_deinit(struct place *p)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", p->dir);
    assert_int_equal(system(command), 0);
}

/* A program that works on one message after another, and ends with the second in hand, or with none. */
static void live_and_end(struct place *p, enum end how, bool holding)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        for (int s = 1; s < 32; s++) signal(s, SIG_DFL); /* the sanitizer's and cmocka's */
        if (in_hand_open(p->dir, &p->disk, &p->s)) _exit(1);
        in_hand(&other);
        in_hand(NULL);
        if (holding) in_hand(&id);
        if (how == END_ABORT) abort();
        if (how == END_SEGV) raise(SIGSEGV);
        if (how == END_SEGV) raise(SIGSEGV); /* a fault would repeat by itself */
        if (how == END_KILL) raise(SIGKILL);
        in_hand(NULL);
        in_hand_close();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WIFEXITED(status), how == END_WELL);
    if (how == END_WELL) assert_int_equal(WEXITSTATUS(status), 0);
}

static uint32_t crashes(struct place *p)
{
    assert_int_equal(in_hand_open(p->dir, &p->disk, &p->s), ERR_OK);
    in_hand_close();
    if (p->s.n == 0) return 0;
    assert_int_equal(p->s.n, 1);
    assert_string_equal(p->s.of[0].id.s, id.s);
    return p->s.of[0].crashes;
}

TEST(what_was_in_hand_at_a_crash_is_counted)
{
    struct place p;
    place_init(&p);
    assert_int_equal(crashes(&p), 0);
    live_and_end(&p, END_ABORT, true);
    assert_int_equal(crashes(&p), 1);
    assert_int_equal(crashes(&p), 1); /* once */
    live_and_end(&p, END_SEGV, true);
    assert_int_equal(crashes(&p), 2);
    in_hand_forgive(p.dir, &p.disk, &p.s, &other);
    in_hand_forgive(p.dir, &p.disk, &p.s, &id);
    assert_int_equal(crashes(&p), 0);
    place_deinit(&p);
}

TEST(a_kill_and_an_end_in_peace_say_nothing_of_any_message)
{
    struct place p;
    place_init(&p);
    live_and_end(&p, END_KILL, true);
    live_and_end(&p, END_WELL, true);
    live_and_end(&p, END_ABORT, false);
    assert_int_equal(crashes(&p), 0);
    place_deinit(&p);
}

TEST(one_a_process_and_none_is_fine)
{
    struct place p;
    struct in_hand_suspects more;
    in_hand(&id);
    in_hand_close();
    place_init(&p);
    assert_int_equal(in_hand_open(p.dir, &p.disk, &p.s), ERR_OK);
    assert_int_equal(in_hand_open(p.dir, &p.disk, &more), ERR_CONFLICT);
    in_hand_close();
    assert_int_equal(in_hand_open("/nonexistent", &p.disk, &more), ERR_RETRY);
    place_deinit(&p);
}
