#include "coordinator/ctl/ctl.h"

/* clang-format off */
const struct option ctl_globals[] = {
    { "--admin", NULL, "SOCKET", "the coordinator's admin socket [$GEMEL_ADMIN, /run/gemel/coordinator.sock]" },
    { "--node-admin", NULL, "SOCKET", "the node's, for queue [$GEMEL_NODE_ADMIN, /run/gemel/node.sock]" },
    { "--json", NULL, NULL, "print the server's answer as it came" },
    { "--timeout", NULL, "SECONDS", "how long to wait for each answer [10; commands 35; 90 where DNS is asked]" },
    { "--help", "-h", NULL, "help for gemelctl or for the command" },
    { "--version", NULL, NULL, "the version" },
    { NULL },
};

static const struct option status_options[] = {
    { "--watch", "-w", "SECONDS", "look again every so many seconds, until interrupted" },
    { NULL },
};
#define SWITCH_OPTIONS \
    { "--reason", NULL, "TEXT", "kept in the history" }, \
    { "--wait", NULL, NULL, "stay until it is done; prints from, to, epoch and gap" }, \
    { "--limit", NULL, "TIME", "how long --wait stays [15m]" }, \
    { "--accept-risk", NULL, NULL, "exclusive SPF mode: do not wait for the old TTL" }
static const struct option switchover_options[] = {
    { "--to", NULL, "IDENTITY", "who shall send [the best standby]" },
    { "--dry-run", NULL, NULL, "check everything, say what would happen, change nothing" },
    SWITCH_OPTIONS,
    { NULL },
};
static const struct option failover_options[] = {
    { "--to", NULL, "IDENTITY", "who shall send" },
    { "--force", NULL, NULL, "yes, without asking whether it is clean and ready" },
    SWITCH_OPTIONS,
    { NULL },
};
static const struct option reason_options[] = {
    { "--reason", NULL, "TEXT", "kept in the history" },
    { NULL },
};
static const struct option pin_options[] = {
    { "--for", NULL, "TIME", "90m, 4h, 1h30m, 2d; at most 30d" },
    { "--reason", NULL, "TEXT", "kept in the history" },
    { NULL },
};
static const struct option history_options[] = {
    { "--number", "-n", "N", "the last N changes [10]; at most 500" },
    { "--all", NULL, NULL, "also changes of the DNS records alone" },
    { NULL },
};
#define FILTER_OPTIONS \
    { "--flow", NULL, "in|out", "only mail to the inside, or to the Internet" }, \
    { "--domain", NULL, "NAME", "only what has a recipient there" }, \
    { "--sender", NULL, "ADDRESS", "only from this sender" }, \
    { "--recipient", NULL, "ADDRESS", "only to this recipient" }, \
    { "--older", NULL, "TIME", "only what arrived at least so long ago: 90m, 4h, 2d" }, \
    { "--why", NULL, "TEXT", "only what has TEXT in its last reply or reason" }, \
    { "--held", NULL, NULL, "only what is held or set aside" }
#define CHOICE_OPTIONS \
    FILTER_OPTIONS, \
    { "--all", NULL, NULL, "everything in the queue" }
static const struct option list_options[] = {
    FILTER_OPTIONS,
    { "--limit", NULL, "N", "at most N messages [100]" },
    { NULL },
};
static const struct option retry_options[] = {
    CHOICE_OPTIONS,
    { NULL },
};
static const struct option choice_options[] = {
    CHOICE_OPTIONS,
    { "--reason", NULL, "TEXT", "kept in the log, and with the message while it is held" },
    { NULL },
};
static const struct option remove_options[] = {
    CHOICE_OPTIONS,
    { "--no-dsn", NULL, NULL, "tell nobody [the sender is told, as after any failure]" },
    { "--reason", NULL, "TEXT", "kept in the log; the sender reads it" },
    { NULL },
};
static const struct option redirect_options[] = {
    CHOICE_OPTIONS,
    { "--to", NULL, "HOP", "the next hop: [10.0.0.26]:25 or mail.example.com:25" },
    { "--undo", NULL, NULL, "send it where its domain goes again" },
    { "--reason", NULL, "TEXT", "kept in the log" },
    { NULL },
};
static const struct option export_options[] = {
    { "--output", "-o", "FILE", "a new file [standard output]" },
    { NULL },
};
static const struct option top_options[] = {
    { "--limit", NULL, "N", "at most N destinations [20]" },
    { NULL },
};
static const struct option flush_options[] = {
    { "--domain", NULL, "NAME", "only what waits for this destination" },
    { NULL },
};

static const struct option classify_options[] = {
    { "--stage", NULL, "WORD", "when it was said: banner, helo, mail, rcpt, data; any: not known [any]" },
    { "--ip", NULL, "ADDRESS", "the address of ours that was spoken to" },
    { "--provider", NULL, "NAME", "who said it: a provider, or the name of its mail server" },
    { "--zones", NULL, "A,B", "blocklists of our own configuration: naming one always counts" },
    { "--rules", NULL, "FILE", "a rules file in place of the compiled-in ones" },
    { NULL },
};

#define ALWAYS (BIT(CTL_FINE) | BIT(CTL_USAGE) | BIT(CTL_UNREACHABLE))
#define ORDER  (ALWAYS | BIT(CTL_REFUSED))
#define SWITCH (ORDER | BIT(CTL_INCOMPLETE) | BIT(CTL_RUNNING))
#define JUDGES (ALWAYS | BIT(CTL_ISSUES))

const struct command ctl_commands[] = {
    { "status", NULL, 0, 0, status_options, JUDGES, "who sends, who could, and what wants attention",
      "One row for each identity. The sign in front: * as it should be, ! not as it should be, ? not heard of. REPORTED is "
      "the node's own word, ASSIGNED what the cluster decided. SCORE counts blocklists and refusals. LEASE is what is left "
      "of the permission to send. SPF counts the authoritative servers at which SPF passes. On a narrow terminal some "
      "columns are left out; into a pipe all are written.", cmd_status },
    { "switchover", NULL, 0, 0, switchover_options, SWITCH, "let another identity send, if everything is in order",
      "Every precondition is checked first: the other must be clean, ready, and pass SPF everywhere. Records are published "
      "and verified before the sender is stopped.", cmd_switchover },
    { "failover", NULL, 0, 0, failover_options, SWITCH, "let another identity send, even if it is listed or not ready",
      "For the case that the sender is gone and no standby is good enough for switchover. Quality is not asked for; that "
      "never two identities send is still made sure: the old one is fenced, or its lease is waited for.", cmd_failover },
    { "pause", NULL, 0, 0, reason_options, ORDER, "no automatic switches until resume", NULL, cmd_pause },
    { "resume", NULL, 0, 0, reason_options, ORDER, "automatic switches again", NULL, cmd_resume },
    { "pin", "IDENTITY", 1, 1, pin_options, ORDER, "no automatic switches for a time",
      "The identity keeps sending whatever the lists say, until the time is over or unpin. fence still works.", cmd_pin },
    { "unpin", NULL, 0, 0, reason_options, ORDER, "end a pin before its time", NULL, cmd_unpin },
    { "fence", "IDENTITY", 1, 1, reason_options, ORDER | BIT(CTL_INCOMPLETE), "stop an identity from sending, at once",
      "Nobody sends afterwards, mail waits in the queue, until switchover or failover names a sender.", cmd_fence },
    { "history", NULL, 0, 0, history_options, ALWAYS, "the last changes: what, why, how long each step took",
      "The newest stands last.", cmd_history },
    { "explain", "[EPOCH]", 0, 1, NULL, ORDER, "one change in full: reason, evidence, steps", "Without EPOCH the last one.",
      cmd_explain },
    { "spf show", NULL, 0, 0, NULL, ALWAYS, "our DNS records as they are published", NULL, cmd_spf_show },
    { "spf diff", NULL, 0, 0, NULL, JUDGES, "what is published against what should be", NULL, cmd_spf_diff },
    { "spf verify", NULL, 0, 0, NULL, JUDGES, "ask every address of every authoritative server now",
      "At each, the records are compared and SPF is evaluated for every identity.", cmd_spf_verify },
    { "dnsbl check", "[IP]", 0, 1, NULL, JUDGES | BIT(CTL_REFUSED), "ask every blocklist now",
      "About IP, or about all identities. Changes nothing. An error is neither listed nor clean.", cmd_dnsbl_check },
    { "dnsbl explain", "[IP|IDENTITY]", 0, 1, NULL, JUDGES | BIT(CTL_REFUSED), "how the score of an identity comes about", NULL,
      cmd_dnsbl_explain },
    { "dnsbl zones", NULL, 0, 0, NULL, JUDGES, "the blocklists, and whether they can be trusted now", NULL, cmd_dnsbl_zones },
    { "queue list", NULL, 0, 0, list_options, ALWAYS, "what waits on this node, and for what", NULL, cmd_queue_list },
    { "queue show", "ID", 1, 1, NULL, ORDER, "one message: recipients, last replies, header", NULL, cmd_queue_show },
    { "queue flush", "[ID]", 0, 1, flush_options, ORDER, "try again now",
      "Without ID and --domain, everything that waits.", cmd_queue_flush },
    { "queue retry", "[ID...]", 0, ARGS_POSITIONAL_MAX, retry_options, ORDER, "try some messages again now",
      "If that fails, their retry times go on as before. Held messages are not tried.", cmd_queue_retry },
    { "queue hold", "[ID...]", 0, ARGS_POSITIONAL_MAX, choice_options, ORDER, "keep messages until somebody releases them",
      "Held messages are not sent and not handed over to another node. They do not expire: the time does not count.",
      cmd_queue_hold },
    { "queue release", "[ID...]", 0, ARGS_POSITIONAL_MAX, choice_options, ORDER, "let held messages go, and try them now",
      "Also what was set aside because it was in hand when the node crashed.", cmd_queue_release },
    { "queue remove", "[ID...]", 0, ARGS_POSITIONAL_MAX, remove_options, ORDER, "take messages out of the queue for good",
      "What a next hop is taking this moment is stopped if that is still possible; if it was taken, it is delivered.",
      cmd_queue_remove },
    { "queue redirect", "[ID...]", 0, ARGS_POSITIONAL_MAX, redirect_options, ORDER, "send messages to another next hop",
      "With --domain, only for recipients there. Mail that comes in later is not redirected.", cmd_queue_redirect },
    { "queue export", "ID", 1, 1, export_options, ORDER, "one message as it is, header and body (.eml)",
      "The message stays in the queue.", cmd_queue_export },
    { "queue top", NULL, 0, 0, top_options, ALWAYS, "the destinations with the most waiting mail", NULL, cmd_queue_top },
    { "limits explain", "DOMAIN", 1, 1, NULL, ALWAYS, "what holds for mail to a domain, and which rule says so",
      "Connections, messages, rate, recipients, TLS. DOMAIN may also be a next hop. Asks gemel-node on this host.", cmd_limits_explain },
    { "tls", NULL, 0, 0, NULL, JUDGES, "what came of TLS with other mail servers, by destination",
      "Connections since the node started: encrypted, in clear text, failed; beneath, the last failure. Asks gemel-node on this host.",
      cmd_tls },
    { "classify", NULL, 0, 0, classify_options, BIT(CTL_FINE) | BIT(CTL_USAGE), "what a refusal means: a reply on standard input",
      "Prints what it is about (scope), what follows for the identity (effect), the rule that decided and why. With --json, reads lines "
      "{\"stage\",\"ip\",\"provider\",\"reply\"} and answers each with a line {\"scope\",\"effect\",\"rule\",\"reason\"}. Asks nobody: "
      "it is the nodes' own classifier.", cmd_classify },
    { "doctor", NULL, 0, 0, NULL, JUDGES, "check everything that can be wrong; each finding with its cure", NULL, cmd_doctor },
    { NULL },
};
/* clang-format on */

enum { HELP_COLUMNS = 100 }; /* of its paragraphs, where there is no terminal */

static const struct {
    int code;
    const char *means;
} exits[] = {
    { CTL_FINE, "fine" },
    { CTL_USAGE, "the command line is wrong; nothing was done" },
    { CTL_REFUSED, "refused: a precondition does not hold, or there is no such thing; nothing was changed" },
    { CTL_UNREACHABLE, "nobody answers, or nobody leads" },
    { CTL_INCOMPLETE, "begun, and did not end as asked: see gemelctl status" },
    { CTL_RUNNING, "still running when --wait gave up; it goes on" },
    { CTL_ISSUES, "answered, and something wants attention" },
};

static void help_options(struct screen *s, const char *title, const struct option *table)
{
    if (!table) return;
    say(s, "\n%s\n", title);
    for (const struct option *o = table; o->name; o++) {
        const char *left = text_printf(s, "%s%s%s%s%s", o->letter ? o->letter : "", o->letter ? ", " : "",
                                       o->name, o->value ? " " : "", o->value ? o->value : "");
        say(s, "  %-24s %s\n", left, o->help);
    }
}

static void help_exits(struct screen *s, uint32_t mask)
{
    say(s, "\nExit codes\n");
    for (size_t i = 0; i < ARRAY_LEN(exits); i++)
        if (mask & BIT(exits[i].code)) say(s, "  %-3d %s\n", exits[i].code, exits[i].means);
}

static void help_command(struct screen *s, const struct command *c)
{
    if (!s->width) s->width = HELP_COLUMNS;
    say(s, "usage: gemelctl %s%s%s%s\n\n%s\n", c->words, c->options ? " [OPTIONS]" : "",
        c->positional ? " " : "", c->positional ? c->positional : "", c->summary);
    if (c->about) say_wrapped(s, 0, c->about);
    help_options(s, "Options", c->options);
    help_options(s, "Everywhere", ctl_globals);
    help_exits(s, c->exits);
}

static void help_list(struct screen *s, const char *group)
{
    size_t n = strlen(group);
    for (const struct command *c = ctl_commands; c->words; c++) {
        if (n && (strncmp(c->words, group, n) != 0 || c->words[n] != ' ')) continue;
        const char *left = text_printf(s, "%s%s%s", c->words, c->positional ? " " : "",
                                       c->positional ? c->positional : "");
        say(s, "  %-28s %s\n", left, c->summary);
    }
}

void ctl_help(struct screen *s, const struct args *args)
{
    if (args->command) {
        help_command(s, args->command);
        return;
    }
    say(s, "usage: gemelctl [OPTIONS] %s\n\n",
        args->group[0] ? text_printf(s, "%s COMMAND", args->group) : "COMMAND");
    help_list(s, args->group);
    help_options(s, "Options", ctl_globals);
    help_exits(s, UINT32_MAX);
    if (!args->group[0])
        say(s, "\ngemelctl COMMAND --help tells more. At 3 a.m.: status, explain, doctor.\n");
}
