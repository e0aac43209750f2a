/* Sockets to listen on: IPv4, IPv6, Unix, and those that another process opened. No JavaScript here. */
#ifndef NPP_NET_LISTEN_H
#define NPP_NET_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* INET6_ADDRSTRLEN with a scope behind it, and sun_path, fit. */
#define NPP_HOST_BYTES 128

struct npp_name {
  /* An address, or the path of a Unix socket; empty for one without a name. */
  char host[NPP_HOST_BYTES];
  uint16_t port;
};

/*
 * Each returns 0 and a listening, non-blocking descriptor that is closed on exec, or an errno with the name of the call that failed.
 * `host` is an address in digits. On '::' IPv4 is served too.
 */
int npp_listen_tcp(const char *host, uint16_t port, int backlog, int *descriptor, const char **syscall_name);

/* A socket file that nobody listens on is replaced. The file has exactly `mode` before the first connection is taken. */
int npp_listen_unix(const char *path, mode_t mode, int backlog, int *descriptor, const char **syscall_name);

/* sd_listen_fds(3): a descriptor that listens already. */
int npp_listen_adopt(int descriptor, const char **syscall_name);

/* Our name of a socket, or the peer's. False when it has none. */
bool npp_name_of(int descriptor, bool of_peer, struct npp_name *name);

#endif
