#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "net-state.h"
#include "net-sys.h"
#include "value.h"

/* A file goes out in steps, so that one reader on a fast line does not hold up the others. */
#define FILE_STEP ((size_t)1024 * 1024)

enum source { COPY, HELD, FILE_PART };

/* Output that waits. A copy's bytes follow the struct. */
struct npp_chunk {
  struct npp_chunk *next;
  enum source source;
  int file;
  napi_ref held;
  size_t start;
  size_t end;
  uint8_t bytes[];
};

static void append(struct npp_connection *connection, struct npp_chunk *chunk) {
  chunk->next = NULL;
  if (connection->last == NULL) {
    connection->first = chunk;
  } else {
    connection->last->next = chunk;
  }
  connection->last = chunk;
}

static void drop_first(struct npp_net *net, struct npp_connection *connection) {
  struct npp_chunk *chunk = connection->first;
  connection->first = chunk->next;
  if (connection->first == NULL) connection->last = NULL;
  if (chunk->source == COPY) {
    connection->copied -= chunk->end - chunk->start;
    net->counters.kept_bytes -= (double)(chunk->end - chunk->start);
  } else {
    net->counters.held_buffers--;
  }
  /* Nothing is left to be done when this fails; the environment is going away. */
  if (chunk->held != NULL) (void)napi_delete_reference(net->env, chunk->held);
  free(chunk);
}

void npp_output_drop(struct npp_net *net, struct npp_connection *connection) {
  while (connection->first != NULL) drop_first(net, connection);
}

double npp_output_unsent(const struct npp_connection *connection) {
  double bytes = 0;
  for (const struct npp_chunk *chunk = connection->first; chunk != NULL; chunk = chunk->next) bytes += (double)(chunk->end - chunk->start);
  /* What the kernel holds is not with the peer either; it takes more only when much of that has gone. */
  int queued = 0;
  if (ioctl(connection->descriptor, SIOCOUTQ, &queued) == 0 && queued > 0) bytes += (double)queued;
  return bytes;
}

/* Bytes that the kernel took, 0 when it takes none now, or -1 with *error. */
static ssize_t send_parts(int descriptor, const struct iovec *parts, int count, int *error) {
  for (int tries = 0; tries < NPP_EINTR_TRIES; tries++) {
    ssize_t sent;
    if (count == 1) {
      sent = npp_send(descriptor, parts->iov_base, parts->iov_len, MSG_NOSIGNAL);
    } else {
      struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
      sent = sendmsg(descriptor, &message, MSG_NOSIGNAL);
    }
    if (sent >= 0) return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) {
      *error = errno;
      return -1;
    }
  }
  return 0;
}

enum npp_sent npp_output_copy(struct npp_net *net, struct npp_connection *connection, const struct iovec *parts, int count, int *error) {
  size_t skip = 0, total = 0;
  for (int part = 0; part < count; part++) total += parts[part].iov_len;
  if (connection->first == NULL) {
    ssize_t sent = send_parts(connection->descriptor, parts, count, error);
    if (sent < 0) return NPP_SENT_FAILED;
    if ((size_t)sent == total) return NPP_SENT_ALL;
    skip = (size_t)sent;
  }
  size_t left = total - skip;
  if (connection->copied + left > net->copied_max) {
    *error = ENOBUFS;
    return NPP_SENT_FAILED;
  }
  struct npp_chunk *chunk = malloc(sizeof *chunk + left);
  if (chunk == NULL) {
    *error = ENOMEM;
    return NPP_SENT_FAILED;
  }
  *chunk = (struct npp_chunk){.source = COPY, .end = left};
  size_t at = 0;
  for (int part = 0; part < count; part++) {
    size_t length = parts[part].iov_len, from = skip < length ? skip : length;
    memcpy(chunk->bytes + at, (const uint8_t *)parts[part].iov_base + from, length - from);
    at += length - from;
    skip -= from;
  }
  append(connection, chunk);
  connection->copied += left;
  net->counters.kept_bytes += (double)left;
  return NPP_SENT_SOME;
}

enum npp_sent npp_output_hold(struct npp_net *net, struct npp_connection *connection, napi_value bytes, const uint8_t *data, size_t start, size_t end,
                              int *error) {
  if (connection->first == NULL && end > start) {
    struct iovec part = {.iov_base = (void *)(data + start), .iov_len = end - start};
    ssize_t sent = send_parts(connection->descriptor, &part, 1, error);
    if (sent < 0) return NPP_SENT_FAILED;
    start += (size_t)sent;
  }
  if (start == end) return connection->first == NULL ? NPP_SENT_ALL : NPP_SENT_SOME;
  struct npp_chunk *chunk = malloc(sizeof *chunk);
  if (chunk == NULL) {
    *error = ENOMEM;
    return NPP_SENT_FAILED;
  }
  *chunk = (struct npp_chunk){.source = HELD, .start = start, .end = end};
  if (napi_create_reference(net->env, bytes, 1, &chunk->held) != napi_ok) {
    free(chunk);
    *error = ENOMEM;
    return NPP_SENT_FAILED;
  }
  append(connection, chunk);
  net->counters.held_buffers++;
  return NPP_SENT_SOME;
}

enum npp_sent npp_output_file(struct npp_net *net, struct npp_connection *connection, int file, off_t offset, size_t length, int *error) {
  bool is_first = connection->first == NULL;
  if (length == 0) return is_first ? NPP_SENT_ALL : NPP_SENT_SOME;
  struct npp_chunk *chunk = malloc(sizeof *chunk);
  if (chunk == NULL) {
    *error = ENOMEM;
    return NPP_SENT_FAILED;
  }
  *chunk = (struct npp_chunk){.source = FILE_PART, .file = file, .start = (size_t)offset, .end = (size_t)offset + length};
  append(connection, chunk);
  net->counters.held_buffers++;
  return is_first ? npp_output_resume(net, connection, error) : NPP_SENT_SOME;
}

static ssize_t send_file(int descriptor, struct npp_chunk *chunk, int *error) {
  for (int tries = 0; tries < NPP_EINTR_TRIES; tries++) {
    off_t offset = (off_t)chunk->start;
    size_t left = chunk->end - chunk->start;
    ssize_t sent = sendfile(descriptor, chunk->file, &offset, left < FILE_STEP ? left : FILE_STEP);
    if (sent > 0) return sent;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    if (sent < 0 && errno == EINTR) continue;
    /* 0: the file has become shorter than was promised to the peer. */
    *error = sent == 0 ? EIO : errno;
    return -1;
  }
  return 0;
}

static ssize_t send_memory(struct npp_net *net, int descriptor, struct npp_chunk *chunk, int *error) {
  const uint8_t *data = chunk->bytes;
  if (chunk->source == HELD) {
    napi_value array;
    uint8_t *found;
    size_t length;
    /* Asked anew each time: JavaScript may have taken the memory away from the array, which then has a length of 0. */
    if (napi_get_reference_value(net->env, chunk->held, &array) != napi_ok || array == NULL ||
        !npp_read_bytes(net->env, array, &found, &length) || length < chunk->end) {
      *error = EFAULT;
      return -1;
    }
    data = found;
  }
  struct iovec part = {.iov_base = (void *)(data + chunk->start), .iov_len = chunk->end - chunk->start};
  return send_parts(descriptor, &part, 1, error);
}

enum npp_sent npp_output_resume(struct npp_net *net, struct npp_connection *connection, int *error) {
  while (connection->first != NULL) {
    struct npp_chunk *chunk = connection->first;
    ssize_t sent = chunk->source == FILE_PART ? send_file(connection->descriptor, chunk, error)
                                              : send_memory(net, connection->descriptor, chunk, error);
    if (sent < 0) return NPP_SENT_FAILED;
    chunk->start += (size_t)sent;
    if (chunk->source == COPY) {
      connection->copied -= (uint64_t)sent;
      net->counters.kept_bytes -= (double)sent;
    }
    /* A short write, or a step of a file: the rest when the poller tells of room. */
    if (chunk->start < chunk->end) return NPP_SENT_SOME;
    drop_first(net, connection);
  }
  return NPP_SENT_ALL;
}
