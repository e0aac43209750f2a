#include "net-table.h"

#include <stdlib.h>

bool npp_table_open(struct npp_table *table, uint32_t capacity) {
  *table = (struct npp_table){.capacity = capacity, .first_free = NPP_NO_SLOT};
  table->all = calloc(capacity, sizeof *table->all);
  return table->all != NULL;
}

void npp_table_close(struct npp_table *table) {
  free(table->all);
  *table = (struct npp_table){.first_free = NPP_NO_SLOT};
}

uint32_t npp_table_take(struct npp_table *table, int descriptor) {
  uint32_t slot = table->first_free;
  if (slot != NPP_NO_SLOT) {
    table->first_free = table->all[slot].next_free;
  } else if (table->touched < table->capacity) {
    slot = table->touched++;
  } else {
    return NPP_NO_SLOT;
  }
  struct npp_connection *connection = &table->all[slot];
  *connection = (struct npp_connection){.descriptor = descriptor, .generation = connection->generation, .flags = NPP_CONN_USED};
  if (++table->used > table->high_water) table->high_water = table->used;
  return slot;
}

void npp_table_release(struct npp_table *table, uint32_t slot) {
  struct npp_connection *connection = &table->all[slot];
  connection->generation++;
  connection->flags = 0;
  connection->descriptor = -1;
  connection->next_free = table->first_free;
  table->first_free = slot;
  table->used--;
}
