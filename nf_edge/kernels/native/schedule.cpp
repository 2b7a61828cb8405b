#include "schedule.h"

#include <atomic>

namespace nf {

namespace {

struct Queue {
  std::atomic<int64_t> next;
  int64_t items;
  void (*work)(const void*, int64_t, size_t);
  const void* argument;
};

void drain(void* argument, size_t thread) {
  Queue& queue = *static_cast<Queue*>(argument);
  for (int64_t item; (item = queue.next.fetch_add(1, std::memory_order_relaxed)) < queue.items;)
    queue.work(queue.argument, item, thread);
}

} // namespace

void for_each_item(
    const Threads& threads, int64_t items, void (*work)(const void*, int64_t, size_t), const void* argument) {
  Queue queue = {{0}, items, work, argument};
  const size_t most = static_cast<size_t>(items);
  const size_t count = threads.count < most ? threads.count : most;
  if (threads.parallel_for && count > 1)
    threads.parallel_for(threads.context, count, drain, &queue);
  else
    drain(&queue, 0);
}

} // namespace nf
