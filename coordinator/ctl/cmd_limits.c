/* gemelctl limits explain: what holds on this node for mail to a domain, and which rule says so; tls: what came of it. */
#include "coordinator/ctl/ctl.h"

int cmd_limits_explain(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    struct buf path;
    buf_init(&path, KIB(64));
    buf_putf(&path, "/limits?domain=");
    client_escape(&path, slice_sub(slice_of(args->positional[0]), 0, KIB(16)));
    int code = ctl_show(c, &c->node, buf_cstr(&path), NULL, CTL_LIMIT_MS, render_limits);
    buf_deinit(&path);
    return code;
}

int cmd_tls(void *ctl, const struct args *args)
{
    struct ctl *c = ctl;
    return ctl_show(c, &c->node, "/tls", NULL, CTL_LIMIT_MS, render_tls);
}
