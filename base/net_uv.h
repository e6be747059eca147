/* base/net_uv.h: the real side of base/net.h, on one libuv loop. loop_create makes it; few others need this file. */
#ifndef GEMEL_BASE_NET_UV_H
#define GEMEL_BASE_NET_UV_H

#include "base/env.h"
#include "base/net.h"

typedef struct uv_loop_s uv_loop_t;

/* `timers` is borrowed until net_destroy. */
struct net *net_create(uv_loop_t *uv, struct timers *timers);
/* Streams that are finishing say what the kernel takes at once, and are cut. Asserts that no other stream, listener, dial or UDP socket is open. The memory
 * goes when libuv has let go of the handles: run the loop until it returns. */
void net_destroy(struct net *n);

#endif
