// Hands out aligned pieces of the scratch buffer; started at null, it only counts their bytes.
struct Arena {
  char* at;

  template <class T>
  NF_INLINE T* piece(char*& at, int64_t count) {
    char* start = at;
    at += (static_cast<size_t>(count) * sizeof(T) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return reinterpret_cast<T*>(start);
  }
  template <class T>
  void take(T*& pointer, int64_t count) {
    pointer = piece<T>(at, count);
  }
};
