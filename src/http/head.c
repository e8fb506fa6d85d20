/* SPDX-License-Identifier: Apache-2.0
 * Request heads: what the checker accepted is parsed by llhttp, and its fields are given a meaning.
 *
 * llhttp is fed exactly the bytes of one head, in one piece, and stopped at the end of them, so it
 * never sees a body, an upgrade or the next request. Both judges must agree on the end of the head,
 * on the number of fields and on the framing of the body: a request that two parsers read in two
 * ways is how requests are smuggled, so it is refused whoever is right. */
#include "bytes.h"
#include "check.h"
#include "host.h"
#include "refuse.h"

#include <llhttp.h>

enum field {
    FIELD_AUTHORIZATION,
    FIELD_CONNECTION,
    FIELD_CONTENT_DIGEST,
    FIELD_CONTENT_ENCODING,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_RANGE,
    FIELD_EXPECT,
    FIELD_HOST,
    FIELD_IF_NONE_MATCH,
    FIELD_IF_RANGE,
    FIELD_RANGE,
    FIELD_REPR_DIGEST,
    FIELD_TRANSFER_ENCODING,
    FIELD_COUNT
};

static const char *const field_names[FIELD_COUNT] = {
    [FIELD_AUTHORIZATION] = "authorization",
    [FIELD_CONNECTION] = "connection",
    [FIELD_CONTENT_DIGEST] = "content-digest",
    [FIELD_CONTENT_ENCODING] = "content-encoding",
    [FIELD_CONTENT_LENGTH] = "content-length",
    [FIELD_CONTENT_RANGE] = "content-range",
    [FIELD_EXPECT] = "expect",
    [FIELD_HOST] = "host",
    [FIELD_IF_NONE_MATCH] = "if-none-match",
    [FIELD_IF_RANGE] = "if-range",
    [FIELD_RANGE] = "range",
    [FIELD_REPR_DIGEST] = "repr-digest",
    [FIELD_TRANSFER_ENCODING] = "transfer-encoding",
};

/* The parser's memory for one head. */
struct parse {
    struct bb_http_request request;
    struct bb_http_refusal *refusal;
    bool refused;
    struct bb_http_span target;
    struct bb_http_span name, value; /* of the current field */
    struct bb_http_span fields[FIELD_COUNT];
    size_t field_count;
    bool close;
    bool keep_alive;
    bool expects;
};

static const struct bb_http_span nothing;

static int refuse(struct parse *parse, int status, const char *what, struct bb_http_span found,
                  const char *cure)
{
    parse->refused = true;
    return bb_http_refuse(parse->refusal, status, what, found, cure);
}

/* Which of our fields `name` is; FIELD_COUNT for the others. The length leaves one or two. */
static enum field field_of(struct bb_http_span name)
{
    enum field first, second;
    switch (name.len) {
    case 4:
        first = second = FIELD_HOST;
        break;
    case 5:
        first = second = FIELD_RANGE;
        break;
    case 6:
        first = second = FIELD_EXPECT;
        break;
    case 8:
        first = second = FIELD_IF_RANGE;
        break;
    case 10:
        first = second = FIELD_CONNECTION;
        break;
    case 11:
        first = second = FIELD_REPR_DIGEST;
        break;
    case 13:
        first = bb_http_lower(name.at[0]) == 'a' ? FIELD_AUTHORIZATION : FIELD_IF_NONE_MATCH;
        second = FIELD_CONTENT_RANGE;
        break;
    case 14:
        first = FIELD_CONTENT_LENGTH;
        second = FIELD_CONTENT_DIGEST;
        break;
    case 16:
        first = second = FIELD_CONTENT_ENCODING;
        break;
    case 17:
        first = second = FIELD_TRANSFER_ENCODING;
        break;
    default:
        return FIELD_COUNT;
    }
    if (bb_http_span_is(name, field_names[first]))
        return first;
    return bb_http_span_is(name, field_names[second]) ? second : FIELD_COUNT;
}

static void connection_take(struct parse *parse)
{
    struct bb_http_span list = parse->value, option;
    while (bb_http_list_next(&list, &option)) {
        parse->close = parse->close || bb_http_span_is(option, "close");
        parse->keep_alive = parse->keep_alive || bb_http_span_is(option, "keep-alive");
    }
}

/* Whatever comes with HTTP/1.0 is ignored (RFC 9110 10.1.1); the version is known by now. */
static int expect_take(struct parse *parse)
{
    struct bb_http_span list = parse->value, expectation;
    if (parse->request.minor == 0)
        return 0;
    while (bb_http_list_next(&list, &expectation)) {
        if (bb_http_span_is(expectation, "100-continue"))
            parse->expects = true;
        else if (expectation.len > 0)
            return refuse(parse, 417, "expectation", expectation, "use 100-continue or none");
    }
    return 0;
}

static int field_take(struct parse *parse)
{
    enum field field = field_of(parse->name);
    if (field == FIELD_COUNT)
        return 0;
    if (field == FIELD_CONNECTION) {
        connection_take(parse);
        return 0;
    }
    if (field == FIELD_EXPECT)
        return expect_take(parse);
    if (parse->fields[field].at != NULL)
        return refuse(parse, 400, "repeated field", parse->name, "send it once");
    parse->fields[field] = parse->value;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;
    if (parse->target.at != NULL)
        return HPE_USER;
    parse->target = (struct bb_http_span){at, len};
    return HPE_OK;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;
    parse->name = (struct bb_http_span){at, len};
    parse->value = nothing;
    return HPE_OK;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;
    if (parse->value.at != NULL)
        return HPE_USER;
    parse->value = bb_http_span_trim((struct bb_http_span){at, len});
    return HPE_OK;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct parse *parse = parser->data;
    if (parse->value.at == NULL)
        parse->value = (struct bb_http_span){"", 0};
    parse->request.minor = llhttp_get_http_minor(parser) == 0 ? 0 : 1;
    parse->field_count++;
    return field_take(parse) < 0 ? HPE_USER : HPE_OK;
}

static int on_headers_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
};

static int parser_run(struct parse *parse, llhttp_t *parser, const char *buf,
                      const struct bb_http_frame *frame)
{
    llhttp_init(parser, HTTP_REQUEST, &settings);
    parser->data = parse;
    /* The checker knows versions better: HTTP/1.2 is to be served as 1.1 (RFC 9110 2.5). */
    parser->lenient_flags |= LENIENT_VERSION;

    llhttp_errno_t result = llhttp_execute(parser, buf + frame->start, frame->size - frame->start);
    if (parse->refused)
        return -1;
    if (result != HPE_PAUSED) {
        const char *reason = llhttp_get_error_reason(parser);
        return refuse(parse, 400, "request head",
                      (struct bb_http_span){reason, reason == NULL ? 0 : strlen(reason)},
                      "send it as RFC 9112 says");
    }
    if (llhttp_get_error_pos(parser) != buf + frame->size ||
        parse->field_count != frame->field_count || parse->target.at == NULL)
        return refuse(parse, 400, "ambiguous request head", nothing, "send it as RFC 9112 says");
    parse->request.field_count = parse->field_count;
    return 0;
}

static int method_set(struct parse *parse, llhttp_t *parser)
{
    struct bb_http_request *request = &parse->request;
    request->minor = llhttp_get_http_minor(parser) == 0 ? 0 : 1;
    request->keep_alive = request->minor == 0 ? parse->keep_alive && !parse->close : !parse->close;

    switch (llhttp_get_method(parser)) {
    case HTTP_GET:
        request->method = BB_HTTP_GET;
        return 0;
    case HTTP_HEAD:
        request->method = BB_HTTP_HEAD;
        return 0;
    case HTTP_PUT:
        request->method = BB_HTTP_PUT;
        return 0;
    case HTTP_POST:
        request->method = BB_HTTP_POST;
        return 0;
    case HTTP_DELETE:
        request->method = BB_HTTP_DELETE;
        return 0;
    case HTTP_CONNECT:
        request->keep_alive = false;
        /* fall through */
    case HTTP_OPTIONS:
    case HTTP_TRACE:
        request->method = BB_HTTP_REFUSED;
        return 0;
    default:
        return refuse(parse, 501, "method", nothing, "use GET, HEAD, PUT, POST or DELETE");
    }
}

/* The authority of an absolute-form target takes the place of Host (RFC 9112 3.2.2). */
static void target_split(struct parse *parse, llhttp_t *parser)
{
    struct bb_http_request *request = &parse->request;
    struct bb_http_span rest = parse->target;
    request->path = rest;
    if (llhttp_get_method(parser) == HTTP_CONNECT)
        return;
    size_t scheme_len = bb_http_scheme_len(rest);
    if (scheme_len > 0) {
        rest = bb_http_span_after(rest, scheme_len);
        request->host = (struct bb_http_span){rest.at, bb_http_authority_len(rest)};
        rest = bb_http_span_after(rest, request->host.len);
    }
    const char *mark = rest.len == 0 ? NULL : memchr(rest.at, '?', rest.len);
    request->path = rest;
    if (mark != NULL) {
        request->path.len = (size_t)(mark - rest.at);
        request->query = bb_http_span_after(rest, request->path.len + 1);
    }
    if (request->path.len == 0)
        request->path = (struct bb_http_span){"/", 1};
}

static int host_set(struct parse *parse)
{
    struct bb_http_span host = parse->fields[FIELD_HOST], name;
    if (host.at == NULL && parse->request.minor > 0)
        return refuse(parse, 400, "no Host field", nothing, "send one with HTTP/1.1");
    if (host.at != NULL && !bb_http_host_split(host, &name))
        return refuse(parse, 400, "Host", host, "use name, name:port or an IP literal");
    if (parse->request.host.at == NULL)
        parse->request.host = host;
    return 0;
}

static int framing_set(struct parse *parse, const llhttp_t *parser)
{
    struct bb_http_request *request = &parse->request;
    struct bb_http_span length = parse->fields[FIELD_CONTENT_LENGTH];
    struct bb_http_span coding = parse->fields[FIELD_TRANSFER_ENCODING];

    if (length.at != NULL && coding.at != NULL)
        return refuse(parse, 400, "both Content-Length and Transfer-Encoding", nothing, "send one");
    if (coding.at != NULL && request->minor == 0)
        return refuse(parse, 400, "Transfer-Encoding with HTTP/1.0", coding, "use HTTP/1.1");
    if (coding.at != NULL && coding.len == 0)
        return refuse(parse, 400, "Transfer-Encoding", coding, "use chunked");
    if (coding.at != NULL && !bb_http_span_is(coding, "chunked"))
        return refuse(parse, 501, "Transfer-Encoding", coding, "use chunked alone");
    if (length.at != NULL && bb_http_span_number(length, &request->content_length) != 0)
        return refuse(parse, 400, "Content-Length", length, "send one decimal number");

    request->chunked = coding.at != NULL;
    request->has_length = length.at != NULL;
    if (((parser->flags & F_CHUNKED) != 0) != request->chunked ||
        ((parser->flags & F_CONTENT_LENGTH) != 0) != request->has_length ||
        parser->content_length != request->content_length)
        return refuse(parse, 400, "ambiguous framing", nothing, "send it as RFC 9112 says");
    request->expect_continue = parse->expects && (request->chunked || request->content_length > 0);
    return 0;
}

static void fields_set(struct parse *parse)
{
    struct bb_http_request *request = &parse->request;
    request->if_none_match = parse->fields[FIELD_IF_NONE_MATCH];
    request->if_none_match_any =
        request->if_none_match.at != NULL && bb_http_span_equal(request->if_none_match, "*");
    request->if_range = parse->fields[FIELD_IF_RANGE];
    request->range = parse->fields[FIELD_RANGE];
    request->authorization = parse->fields[FIELD_AUTHORIZATION];
    request->content_encoding = parse->fields[FIELD_CONTENT_ENCODING];
    request->content_range = parse->fields[FIELD_CONTENT_RANGE];
    request->content_digest = parse->fields[FIELD_CONTENT_DIGEST];
    request->repr_digest = parse->fields[FIELD_REPR_DIGEST];
}

int bb_http_parse_head(const char *buf, size_t len, size_t *scanned,
                       struct bb_http_request *ret_request, size_t *ret_head_size,
                       struct bb_http_refusal *ret_refusal)
{
    struct bb_http_frame frame;
    llhttp_t parser;
    int result = bb_http_check_head(buf, len, scanned, &frame, ret_refusal);
    if (result != 1)
        return result;
    BB_ASSERT(frame.size <= len);
    BB_ASSERT(frame.start < frame.size);

    struct parse parse = {.refusal = ret_refusal};
    if (parser_run(&parse, &parser, buf, &frame) < 0 || method_set(&parse, &parser) < 0)
        return -1;
    target_split(&parse, &parser);
    if (host_set(&parse) < 0 || framing_set(&parse, &parser) < 0)
        return -1;
    fields_set(&parse);
    *ret_request = parse.request;
    *ret_head_size = frame.size;
    *scanned = 0;
    return 1;
}
