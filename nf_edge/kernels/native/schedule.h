// Distributes work items to threads as they become free.
#ifndef NF_SCHEDULE_H
#define NF_SCHEDULE_H

#include "symmetric_attention.h"

namespace nf {

struct Threads {
  size_t count;
  nf_parallel_for parallel_for;
  void* context;
};

// Calls work(argument, item, thread) for each item < items in ascending order; thread < threads.count.
void for_each_item(
    const Threads& threads, int64_t items, void (*work)(const void*, int64_t, size_t), const void* argument);

} // namespace nf

#endif
