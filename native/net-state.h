/* A net as its parts share it: net.c is the door, net-batch.c reads and tells, net-output.c sends, net-accept.c takes connections in,
 * net-linger.c turns them away. */
#ifndef NPP_NET_STATE_H
#define NPP_NET_STATE_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "net-table.h"
#include "poller.h"

/* What a batch tells JavaScript: four integers an event. The same numbers stand in native/net.ts. */
enum npp_event { NPP_OPENED = 0, NPP_DATA = 1, NPP_ENDED = 2, NPP_DRAINED = 3, NPP_CLOSED = 4, NPP_EXHAUSTED = 5, NPP_STALLED = 6, NPP_LINGERING = 7 };
#define NPP_EVENT_INTS 4u
#define NPP_EVENTS_MAX 2048u

/* What JavaScript hands back: five integers a command. */
enum npp_command { NPP_SKIP = 0, NPP_WRITE = 1, NPP_END = 2, NPP_DESTROY = 3, NPP_RELEASE = 4, NPP_PAUSE = 5, NPP_RESUME = 6 };
#define NPP_COMMAND_INTS 5u
#define NPP_COMMANDS_MAX 4096u
/* A command tells of at most one end and one stall, three integers each: slot, event, errno. */
#define NPP_OUTCOME_INTS 3u
#define NPP_OUTCOMES_MAX (2u * NPP_COMMANDS_MAX)

/* A read takes at most this many bytes, and the batch is handed over when less is left in the arena. */
#define NPP_READ_BYTES (64u * 1024u)
#define NPP_ARENA_BYTES (512u * 1024u)
/* Half for copies of what is written, half lent to the writer himself. */
#define NPP_OUTPUT_BYTES (1024u * 1024u)
#define NPP_LISTENERS_MAX 64u
/* Refused connections that are still read from, and for how long; the oldest makes room for one more. */
#define NPP_LINGERING_MAX 64u
#define NPP_LINGER_MS 2000u
/* Keys of refused connections have this bit, which no slot has. */
#define NPP_LINGERING_BIT ((uint64_t)1 << 30)
/* A non-blocking call is not interrupted in practice; the bound keeps a storm of signals from holding the process here. */
#define NPP_EINTR_TRIES 16

struct npp_net_env;

struct npp_listener {
  int descriptor;
  bool watched;
  /* Path of a Unix socket that is removed when listening ends, with what tells it from one made later; NULL for others. */
  char *path;
  dev_t device;
  ino_t inode;
};

/* A connection that was refused: no slot, and nothing of it is told. */
struct npp_lingering {
  /* -1 where there is none. */
  int descriptor;
  uint32_t serial;
  /* Milliseconds of the monotonic clock. */
  uint64_t until;
};

struct npp_counters {
  double accepted;
  double refused;
  /* Bytes of output that are kept as copies, and buffers and files that are held until they have left. */
  double kept_bytes;
  double held_buffers;
};

struct npp_net {
  /* NULL once closed: from then on only the finalizer touches this struct. */
  struct npp_net_env *owner;
  struct npp_net *previous;
  struct npp_net *next;
  napi_env env;
  /* Weak, but strong while there is a listener or a connection: the event loop then holds the net as it holds a socket. */
  napi_ref self;
  /* The function that is told of a batch; NULL until it was looked up. */
  napi_ref listener;
  bool active;
  struct npp_poller *poller;
  struct npp_table table;
  struct npp_listener listeners[NPP_LISTENERS_MAX];
  uint32_t listener_count;
  /* Kept free for the moment when there is none left; -1 while it is in use. */
  int spare;
  struct npp_lingering lingering[NPP_LINGERING_MAX];
  uint32_t lingering_count;
  /* JavaScript was told that there are some, and calls sweep until there are none. */
  bool sweeping;
  /* What a connection above the limit is told. */
  uint8_t *refusal;
  size_t refusal_bytes;
  /* Memory that JavaScript sees too. The references keep it alive; nobody but native/net.ts has the buffers, and it never transfers them. */
  napi_ref shared;
  uint8_t *arena;
  size_t arena_used;
  int32_t *events;
  uint32_t event_count;
  /* Batches so far, and whether JavaScript is being told of one. */
  uint32_t batches;
  bool telling;
  /* What the poller has told, from `ready_at` on not served yet. */
  struct npp_ready ready[NPP_READY_MAX];
  size_t ready_count;
  size_t ready_at;
  uint8_t *output;
  int32_t *commands;
  int32_t *outcomes;
  /* Bytes of copies kept for one connection; who is told of a stall and writes on is held by his own buffers instead. */
  uint64_t copied_max;
  struct npp_counters counters;
};

/* ---- net-batch.c ---- */

/* Room for what one connection may add to the batch. */
bool npp_net_has_room(const struct npp_net *net);
/*
 * Makes the next batch, in place of the one before, of what is ready; returns how many events it has. 0 when nothing is, or when the rest of the
 * loop is to have its turn first. Only while JavaScript is being told.
 */
uint32_t npp_net_fill(struct npp_net *net);
/* The poller's `ready`. */
void npp_net_ready(void *data);
/* Adds an event; there must be room. */
void npp_net_tell(struct npp_net *net, uint32_t slot, enum npp_event kind, int32_t offset, int32_t length);
/* Carries out `count` commands; returns how many outcomes there are. */
uint32_t npp_net_execute(struct npp_net *net, uint32_t count);
/* Has the poller watch for what the connection's state calls for. 0 or a negative errno. */
int npp_net_watch(struct npp_net *net, uint32_t slot, struct npp_connection *connection);
/* Closes the connection; the slot stays taken until it is released. */
void npp_net_close_connection(struct npp_net *net, struct npp_connection *connection);
/* Frees the slot of a connection that is closed; nothing for any other. */
void npp_net_release(struct npp_net *net, uint32_t slot);
/* Keeps the event loop going while there is a listener or a connection, and no longer. */
void npp_net_update_hold(struct npp_net *net);

/* ---- net-accept.c ---- */

/* The key under which the poller knows a listener. */
uint64_t npp_net_listener_key(uint32_t index);
/* Listeners and refused connections, as against connections that have a slot. */
bool npp_net_is_door(uint64_t key);
void npp_net_door_ready(struct npp_net *net, uint64_t key);
void npp_net_open_spare(struct npp_net *net);
/* Goes on accepting after it was given up for want of descriptors. 0 or a negative errno. */
int npp_net_accept_again(struct npp_net *net);
int npp_net_add_listener(struct npp_net *net, int descriptor, char *path);
void npp_net_stop_listening(struct npp_net *net);

/* ---- net-linger.c ---- */

void npp_net_open_lingering(struct npp_net *net);
/* Says the refusal and closes, at once or when the peer has had the time to read it. */
void npp_net_refuse(struct npp_net *net, int descriptor, bool may_linger);
void npp_net_lingering_ready(struct npp_net *net, uint64_t key);
/* Closes those whose time is up; returns how many are left. */
uint32_t npp_net_sweep(struct npp_net *net);
/* Closes all of them; false when there was none. */
bool npp_net_drop_lingering(struct npp_net *net);

/* ---- net-output.c ---- */

/* What became of output: everything left, some is kept, or the connection is to be closed with `error` (an errno). */
enum npp_sent { NPP_SENT_ALL, NPP_SENT_SOME, NPP_SENT_FAILED };

/* Sends copies: what the kernel does not take now is copied and kept. */
enum npp_sent npp_output_copy(struct npp_net *net, struct npp_connection *connection, const struct iovec *parts, int count, int *error);
/* Sends `bytes[start, end)`: what the kernel does not take now is held by a reference to the array. */
enum npp_sent npp_output_hold(struct npp_net *net, struct npp_connection *connection, napi_value bytes, const uint8_t *data, size_t start, size_t end,
                              int *error);
/* Sends a part of a file, which stays its owner's to close. */
enum npp_sent npp_output_file(struct npp_net *net, struct npp_connection *connection, int file, off_t offset, size_t length, int *error);
/* Goes on with what is kept. */
enum npp_sent npp_output_resume(struct npp_net *net, struct npp_connection *connection, int *error);
/* Bytes that are kept. */
double npp_output_unsent(const struct npp_connection *connection);
/* Forgets what is kept. */
void npp_output_drop(struct npp_net *net, struct npp_connection *connection);

#endif
