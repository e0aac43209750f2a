/* The connections of a net, by slot: flat memory, a free list, a generation for each. No JavaScript here. */
#ifndef NPP_NET_TABLE_H
#define NPP_NET_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPP_NO_SLOT UINT32_MAX

/* What a connection is, beside its descriptor. */
#define NPP_CONN_USED 1u
/* JavaScript wants no bytes. */
#define NPP_CONN_PAUSED 2u
/* The peer has ended its side. */
#define NPP_CONN_PEER_ENDED 4u
/* Our side ends when all is sent, and has ended. */
#define NPP_CONN_ENDING 8u
#define NPP_CONN_SHUT 16u
/* The poller knows the descriptor. */
#define NPP_CONN_WATCHED 32u

struct npp_chunk;

struct npp_connection {
  /* -1 once closed; the slot stays taken until JavaScript has been told and has released it. */
  int descriptor;
  uint32_t generation;
  uint32_t next_free;
  uint8_t flags;
  /* What the poller watches for. */
  uint8_t armed;
  /* Output that the kernel did not take yet, oldest first. */
  struct npp_chunk *first;
  struct npp_chunk *last;
  /* Bytes of it that are copies. */
  uint64_t copied;
};

struct npp_table {
  struct npp_connection *all;
  uint32_t capacity;
  /* Slots below this one were used at some time. */
  uint32_t touched;
  uint32_t first_free;
  uint32_t used;
  uint32_t high_water;
};

/* Memory is reserved for all, and given by the kernel as slots come into use. False when there is none. */
bool npp_table_open(struct npp_table *table, uint32_t capacity);
void npp_table_close(struct npp_table *table);

/* A slot for the descriptor, NPP_NO_SLOT when all are taken. */
uint32_t npp_table_take(struct npp_table *table, int descriptor);

/* Frees a slot: whoever still names its generation is not heard. */
void npp_table_release(struct npp_table *table, uint32_t slot);

/* The connection in a slot while it is open, else NULL. Here, as it is asked for several times a request. */
static inline struct npp_connection *npp_table_open_at(struct npp_table *table, uint32_t slot) {
  if (slot >= table->touched) return NULL;
  struct npp_connection *connection = &table->all[slot];
  return (connection->flags & NPP_CONN_USED) && connection->descriptor >= 0 ? connection : NULL;
}

#endif
