// The functions of ONNX Runtime's C API that the runner calls. A wheel contains the library without headers, so a
// build against a wheel needs these declarations.
//
// The API is a table of function pointers. New versions only append to it, so a function never changes its slot. All
// of these functions are in the first version. Slots, signatures and constants are from
// include/onnxruntime/core/session/onnxruntime_c_api.h in github.com/microsoft/onnxruntime.
#pragma once

#include <cstddef>
#include <cstdint>

struct OrtEnv;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtTypeInfo;
struct OrtValue;
struct OrtAllocator;
struct OrtRunOptions;

extern "C" {
struct OrtApiBase {
  const void* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};
const OrtApiBase* OrtGetApiBase();
}

namespace ort {

constexpr uint32_t kApiVersion = 1;

constexpr int kLogFatal = 4;          // ORT_LOGGING_LEVEL_FATAL
constexpr int kFloat32 = 1;           // ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
constexpr int kInt8 = 3;              // ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8
constexpr int kInt64 = 7;             // ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
constexpr int kDeviceAllocator = 0;   // OrtDeviceAllocator
constexpr int kMemoryTypeDefault = 0; // OrtMemTypeDefault

template <size_t Index, typename Function>
struct Slot {
  static Function* in(const void* api) { return reinterpret_cast<Function*>(static_cast<void* const*>(api)[Index]); }
};

// A function that can fail returns a status; null is success.
using GetErrorMessage = Slot<2, const char*(const OrtStatus*)>;
using CreateEnv = Slot<3, OrtStatus*(int severity, const char* log_id, OrtEnv** out)>;
using CreateSession =
    Slot<7, OrtStatus*(const OrtEnv*, const char* model_path, const OrtSessionOptions*, OrtSession** out)>;
using Run = Slot<
    9, OrtStatus*(
           OrtSession*, const OrtRunOptions*, const char* const* input_names, const OrtValue* const* inputs,
           size_t input_count, const char* const* output_names, size_t output_count, OrtValue** outputs)>;
using CreateSessionOptions = Slot<10, OrtStatus*(OrtSessionOptions** out)>;
using SetIntraOpNumThreads = Slot<24, OrtStatus*(OrtSessionOptions*, int threads)>;
using SessionGetInputCount = Slot<30, OrtStatus*(const OrtSession*, size_t* out)>;
using SessionGetOutputCount = Slot<31, OrtStatus*(const OrtSession*, size_t* out)>;
using SessionGetInputTypeInfo = Slot<33, OrtStatus*(const OrtSession*, size_t index, OrtTypeInfo** out)>;
using SessionGetInputName = Slot<36, OrtStatus*(const OrtSession*, size_t index, OrtAllocator*, char** out)>;
using SessionGetOutputName = Slot<37, OrtStatus*(const OrtSession*, size_t index, OrtAllocator*, char** out)>;
using CreateTensorWithDataAsOrtValue = Slot<
    49, OrtStatus*(
            const OrtMemoryInfo*, void* data, size_t bytes, const int64_t* shape, size_t rank, int element_type,
            OrtValue** out)>;
using GetTensorMutableData = Slot<51, OrtStatus*(OrtValue*, void** out)>;
using CastTypeInfoToTensorInfo = Slot<55, OrtStatus*(const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo** out)>;
using GetTensorElementType = Slot<60, OrtStatus*(const OrtTensorTypeAndShapeInfo*, int* out)>;
using GetDimensionsCount = Slot<61, OrtStatus*(const OrtTensorTypeAndShapeInfo*, size_t* out)>;
using GetDimensions = Slot<62, OrtStatus*(const OrtTensorTypeAndShapeInfo*, int64_t* out, size_t rank)>;
using GetTensorShapeElementCount = Slot<64, OrtStatus*(const OrtTensorTypeAndShapeInfo*, size_t* out)>;
using GetTensorTypeAndShape = Slot<65, OrtStatus*(const OrtValue*, OrtTensorTypeAndShapeInfo** out)>;
using CreateCpuMemoryInfo = Slot<69, OrtStatus*(int allocator_type, int memory_type, OrtMemoryInfo** out)>;
using AllocatorFree = Slot<76, OrtStatus*(OrtAllocator*, void*)>;
using GetAllocatorWithDefaultOptions = Slot<78, OrtStatus*(OrtAllocator** out)>; // owned by the library, never released
using ReleaseEnv = Slot<92, void(OrtEnv*)>;
using ReleaseStatus = Slot<93, void(OrtStatus*)>;
using ReleaseMemoryInfo = Slot<94, void(OrtMemoryInfo*)>;
using ReleaseSession = Slot<95, void(OrtSession*)>;
using ReleaseValue = Slot<96, void(OrtValue*)>;
using ReleaseTypeInfo = Slot<98, void(OrtTypeInfo*)>;
using ReleaseTensorTypeAndShapeInfo = Slot<99, void(OrtTensorTypeAndShapeInfo*)>;
using ReleaseSessionOptions = Slot<100, void(OrtSessionOptions*)>;

} // namespace ort
