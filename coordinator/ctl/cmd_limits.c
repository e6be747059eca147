/* gemelctl limits explain: what holds on this node for mail to a domain, and which rule says so. */
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
