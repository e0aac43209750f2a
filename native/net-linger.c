#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net-state.h"

/*
 * Refused connections. RFC 9112 section 9.6: closing while bytes of the peer are still on their way makes the kernel send a reset, and a reset
 * destroys what the peer has received and not read yet: the refusal. So our side is ended, what comes is read and dropped, and the descriptor
 * is closed when the peer has ended its side or its time is up.
 */

#define REFUSED_READ 4096
#define REFUSED_TRIES 4

static uint64_t now_ms(void) {
  struct timespec now;
  /* Fails for a clock that is none only. */
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0;
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void let_go(struct npp_net *net, struct npp_lingering *refused) {
  net->poller->kind->remove(net->poller, refused->descriptor);
  (void)close(refused->descriptor);
  refused->descriptor = -1;
  net->lingering_count--;
}

/* Drops what has come. False when the connection is over. */
static bool read_away(int descriptor) {
  uint8_t unread[REFUSED_READ];
  for (int tries = 0; tries < REFUSED_TRIES; tries++) {
    ssize_t got = recv(descriptor, unread, sizeof unread, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) return false;
  }
  return true;
}

static void send_refusal(const struct npp_net *net, int descriptor) {
  size_t sent = 0;
  /* A new socket has room for a refusal; only an interruption or a moment without memory stands in its way, for which a few tries are enough. */
  for (int tries = 0; sent < net->refusal_bytes && tries < REFUSED_TRIES; tries++) {
    ssize_t taken = send(descriptor, net->refusal + sent, net->refusal_bytes - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (taken > 0) {
      sent += (size_t)taken;
    } else if (taken < 0 && errno != EINTR && errno != EAGAIN) {
      break;
    }
  }
  /* Whether it arrives or not, the connection is closed. */
  (void)shutdown(descriptor, SHUT_WR);
}

/* A free place, made by giving up the oldest when there is none. */
static uint32_t place_for_one(struct npp_net *net) {
  uint32_t oldest = 0;
  for (uint32_t index = 0; index < NPP_LINGERING_MAX; index++) {
    if (net->lingering[index].descriptor < 0) return index;
    if (net->lingering[index].until < net->lingering[oldest].until) oldest = index;
  }
  let_go(net, &net->lingering[oldest]);
  return oldest;
}

void npp_net_open_lingering(struct npp_net *net) {
  for (uint32_t index = 0; index < NPP_LINGERING_MAX; index++) net->lingering[index].descriptor = -1;
}

void npp_net_refuse(struct npp_net *net, int descriptor, bool may_linger) {
  net->counters.refused++;
  send_refusal(net, descriptor);
  if (!read_away(descriptor) || !may_linger) {
    (void)close(descriptor);
    return;
  }
  (void)npp_net_sweep(net);
  uint32_t index = place_for_one(net);
  struct npp_lingering *refused = &net->lingering[index];
  refused->serial++;
  refused->until = now_ms() + NPP_LINGER_MS;
  uint64_t key = NPP_LINGERING_BIT | index | ((uint64_t)refused->serial << 32);
  /* Beyond the reach of select, or without memory, there is no lingering. */
  if (net->poller->kind->add(net->poller, descriptor, key, NPP_POLL_READ | NPP_POLL_LEVEL) < 0) {
    (void)close(descriptor);
    return;
  }
  refused->descriptor = descriptor;
  net->lingering_count++;
  if (net->sweeping) return;
  net->sweeping = true;
  npp_net_tell(net, 0, NPP_LINGERING, 0, 0);
}

void npp_net_lingering_ready(struct npp_net *net, uint64_t key) {
  uint32_t index = (uint32_t)(key & (NPP_LINGERING_BIT - 1));
  if (index >= NPP_LINGERING_MAX) return;
  struct npp_lingering *refused = &net->lingering[index];
  if (refused->descriptor < 0 || refused->serial != (uint32_t)(key >> 32)) return;
  if (!read_away(refused->descriptor)) let_go(net, refused);
}

uint32_t npp_net_sweep(struct npp_net *net) {
  uint64_t now = now_ms();
  if (net->lingering_count == 0) return 0;
  for (uint32_t index = 0; index < NPP_LINGERING_MAX; index++) {
    struct npp_lingering *refused = &net->lingering[index];
    if (refused->descriptor >= 0 && refused->until <= now) let_go(net, refused);
  }
  return net->lingering_count;
}

bool npp_net_drop_lingering(struct npp_net *net) {
  bool any = net->lingering_count > 0;
  for (uint32_t index = 0; index < NPP_LINGERING_MAX && net->lingering_count > 0; index++) {
    if (net->lingering[index].descriptor >= 0) let_go(net, &net->lingering[index]);
  }
  return any;
}
