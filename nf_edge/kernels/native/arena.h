// Allocates aligned pieces of the scratch buffer.  An arena that starts at null only counts their bytes.
struct Arena {
  char* at;

  template <class T>
  void take(T*& pointer, int64_t count) {
    pointer = reinterpret_cast<T*>(at);
    at += (static_cast<size_t>(count) * sizeof(T) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }
};
