/* gemelctl: the process around ctl_run. */
#include <langinfo.h>
#include <locale.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "coordinator/ctl/ctl.h"

static unsigned terminal_width(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20 ? w.ws_col : 80;
}

/* The person behind sudo, if any: the history shall name who it was. */
static const char *operator_name(char out[static 128])
{
    char host[64] = "";
    const char *sudo = getenv("SUDO_USER");
    const struct passwd *me = getpwuid(getuid());
    gethostname(host, sizeof host - 1);
    snprintf(out, 128, "%.40s@%.64s", sudo ? sudo : me ? me->pw_name : "operator", host);
    return out;
}

int main(int argc, char **argv)
{
    char name[128];
    setlocale(LC_CTYPE, "");
    bool terminal = isatty(STDOUT_FILENO);
    const char *no_colour = getenv("NO_COLOR");
    struct ctl_world world = {
        .in = stdin,
        .out = stdout,
        .err = stderr,
        .terminal = terminal,
        .colour = terminal && !(no_colour && no_colour[0]),
        .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .width = terminal ? terminal_width() : 0,
        .admin = getenv("GEMEL_ADMIN"),
        .node_admin = getenv("GEMEL_NODE_ADMIN"),
        .operator_name = operator_name(name),
    };
    return ctl_run(argc, argv, &world);
}
