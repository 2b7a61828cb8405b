#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace nf {

// One run of the model at batch 1.
struct Request {
  std::vector<int64_t> input_ids;
  std::vector<int64_t> second; // the attention mask; of a model with a cache, the position of the first id
  std::string where;           // "line 3 of the requests"

  // The second line as what the model takes. Throws BadInput where it has another count of numbers.
  std::vector<int64_t>& attention_mask();
  int64_t start() const;
};

// Reads requests of two lines each, as decimal integers: the input ids, then
//   of a model without a cache, the attention mask, as many numbers;
//   of a model with one, the position of the first id. A prompt is a request at 0, and each decoding step
//   one of a single id at the position that follows; the cache forgets what it held from there on.
class RequestReader {
 public:
  explicit RequestReader(std::istream& input) : input_(input) {}

  // False at the end of the input. Throws BadInput, which names the line.
  bool next(Request* request);

 private:
  bool next_line(std::vector<int64_t>* numbers);
  std::string where() const;

  std::istream& input_;
  int line_number_ = 0;
};

} // namespace nf
