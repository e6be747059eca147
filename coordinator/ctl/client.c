#include "coordinator/ctl/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/utf8.h"

struct client {
    CURL *curl;
};

struct client *client_create(void)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    ASSERT(code == CURLE_OK);
    struct client *c = xzalloc(sizeof *c);
    c->curl = curl_easy_init();
    ASSERT(c->curl);
    return c;
}

void client_destroy(struct client *c)
{
    if (!c) return;
    curl_easy_cleanup(c->curl);
    free(c);
    curl_global_cleanup();
}

void answer_deinit(struct answer *a)
{
    buf_deinit(&a->body);
    json_decref(a->json);
    *a = (struct answer){ 0 };
}

void client_escape(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (ascii_is_alnum(c) || memchr("-._~", c, 4))
            buf_putf(out, "%c", c);
        else
            buf_putf(out, "%%%02X", (unsigned)(uint8_t)c);
    }
}

static size_t on_body(char *p, size_t size, size_t n, void *owner)
{
    struct answer *a = owner;
    return buf_append(&a->body, slice_from(p, size * n)) ? 0 : size * n;
}

static void set_options(CURL *curl, const struct client_target *to, const char *url, uint64_t limit_ms,
                        struct answer *out)
{
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, to->socket);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* http_proxy in the environment is not for us */
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)limit_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN(limit_ms, SECONDS(5)));
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "gemelctl/" GEMEL_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
}

#define WHY(out, ...) snprintf((out)->why, sizeof(out)->why, __VA_ARGS__)

static enum err cannot_connect(const struct client_target *to, int os_error, struct answer *out)
{
    switch (os_error) {
    case ENOENT:
        WHY(out,
            "there is no socket %s: %s does not run on this host, or has another path below `admin:` (then "
            "use %s)",
            to->socket, to->program, to->option);
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        WHY(out, "no permission to use %s: run this as root or as a user the socket's group admits",
            to->socket);
        return ERR_REFUSED;
    case ECONNREFUSED:
        WHY(out, "nobody listens on %s: %s has ended; see `systemctl status %s` and its log", to->socket,
            to->program, to->program);
        return ERR_REFUSED;
    default:
        WHY(out, "cannot connect to %s: %s", to->socket,
            os_error ? strerror(os_error) : "not a usable socket");
        return ERR_REFUSED;
    }
}

static enum err transport_error(const struct client *c, const struct client_target *to, CURLcode code,
                                uint64_t limit_ms, struct answer *out)
{
    long os_error = 0;
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &os_error);
        return cannot_connect(to, (int)os_error, out);
    case CURLE_OPERATION_TIMEDOUT:
        WHY(out,
            "%s on %s did not answer within %" PRIu64
            " s: it may hang; see its log, or wait longer with --timeout",
            to->program, to->socket, limit_ms / 1000);
        return ERR_TIMEOUT;
    case CURLE_WRITE_ERROR:
        WHY(out, "the answer of %s is longer than %d MiB: ask for less", to->program,
            CLIENT_ANSWER_BYTES_MAX >> 20);
        return ERR_LIMIT;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        WHY(out, "%s closed the connection before its answer was complete: it may be restarting; see its log",
            to->program);
        return ERR_CLOSED;
    default:
        WHY(out, "what listens on %s does not speak HTTP as %s does (%s)", to->socket, to->program,
            curl_easy_strerror(code));
        return ERR_MALFORMED;
    }
}

/* Words of an answer that is not JSON, for the sentence: the first of them, without control characters. */
static void excerpt(struct slice body, char *out, size_t cap)
{
    size_t n = MIN(body.n, cap - 1);
    for (size_t i = 0; i < n; i++) out[i] = body.p[i] >= 0x20 && body.p[i] < 0x7f ? body.p[i] : '?';
    out[n] = '\0';
}

static enum err parse(const struct client_target *to, struct answer *out)
{
    struct slice body = buf_slice(&out->body);
    if (slice_trim(body).n == 0) return ERR_OK;
    json_error_t error;
    out->json = json_loadb(body.p, body.n, JSON_ALLOW_NUL, &error);
    if (out->json) return ERR_OK;
    char words[80];
    excerpt(slice_trim(body), words, sizeof words);
    if (out->status == 404)
        WHY(out, "%s does not know this request (404): it is of another version than gemelctl " GEMEL_VERSION,
            to->program);
    else
        WHY(out, "the answer of %s is not JSON (status %ld, line %d: %s): \"%s\"", to->program, out->status,
            error.line, error.text, words);
    return ERR_MALFORMED;
}

static enum err perform(struct client *c, const struct client_target *to, uint64_t limit_ms, bool bytes,
                        struct answer *out)
{
    CURLcode code = curl_easy_perform(c->curl);
    if (code != CURLE_OK) return transport_error(c, to, code, limit_ms, out);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &out->status);
    return bytes && out->status == 200 ? ERR_OK : parse(to, out);
}

static enum err call(struct client *c, const struct client_target *to, const char *path, const json_t *body,
                     bool bytes, uint64_t limit_ms, struct answer *out)
{
    *out = (struct answer){ 0 };
    buf_init(&out->body, CLIENT_ANSWER_BYTES_MAX);
    if (strlen(to->socket) >= sizeof((struct sockaddr_un){ 0 }).sun_path) {
        WHY(out, "%s is too long for a unix socket's path", to->socket);
        return ERR_NOT_FOUND;
    }
    struct buf url;
    buf_init(&url, KIB(64));
    if (buf_printf(&url, "http://gemel%s", path)) {
        WHY(out, "the request is too long");
        buf_deinit(&url);
        return ERR_LIMIT;
    }
    set_options(c->curl, to, buf_cstr(&url), limit_ms, out);
    char *text = NULL;
    struct curl_slist *headers = NULL;
    if (body) {
        text = json_dumps(body, JSON_COMPACT);
        headers = curl_slist_append(headers, "Content-Type: application/json");
        headers = curl_slist_append(headers, "Expect:"); /* no round trip before small bodies */
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, text);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    }
    enum err err = perform(c, to, limit_ms, bytes, out);
    curl_slist_free_all(headers);
    free(text);
    buf_deinit(&url);
    return err;
}

enum err client_call(struct client *c, const struct client_target *to, const char *path, const json_t *body,
                     uint64_t limit_ms, struct answer *out)
{
    return call(c, to, path, body, false, limit_ms, out);
}

enum err client_fetch(struct client *c, const struct client_target *to, const char *path, uint64_t limit_ms,
                      struct answer *out)
{
    return call(c, to, path, NULL, true, limit_ms, out);
}
