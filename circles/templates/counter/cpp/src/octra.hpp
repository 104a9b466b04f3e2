// What a Circle needs of its host: the request, the response, keys, events. Freestanding C++17: no library.
#pragma once
#include <stdint.h>

#define OCTRA_EXPORT(name) extern "C" __attribute__((export_name(name)))

namespace host {
#define OCTRA_IMPORT(name) extern "C" __attribute__((import_module("octra"), import_name(#name))) int32_t name
OCTRA_IMPORT(host_kv_read)(const char *key, int32_t key_len, char *out, int32_t capacity);
OCTRA_IMPORT(host_kv_put)(const char *key, int32_t key_len, const char *value, int32_t value_len);
OCTRA_IMPORT(host_caller_read)(char *out, int32_t capacity);
OCTRA_IMPORT(host_emit_event)(const char *topic, int32_t topic_len, const char *data, int32_t data_len);
OCTRA_IMPORT(host_response_write)(const char *data, int32_t len);
#undef OCTRA_IMPORT
}  // namespace host

namespace octra {

// A piece of memory that somebody else owns.
struct Text {
    const char *data;
    int32_t size;

    constexpr Text(const char *start, int32_t length) : data(start), size(length) {}
    template <int N>
    constexpr Text(const char (&literal)[N]) : data(literal), size(N - 1) {}

    bool operator==(Text other) const {
        if (size != other.size) return false;
        for (int32_t i = 0; i < size; ++i)
            if (data[i] != other.data[i]) return false;
        return true;
    }
};

// Reads a value into `buffer`; a negative size means that the key is absent.
template <int N>
Text get(Text key, char (&buffer)[N]) {
    int32_t full = host::host_kv_read(key.data, key.size, buffer, N);
    return {buffer, full < N ? full : N};
}

// Stores a value; false when a limit of the Circle is reached.
inline bool put(Text key, Text value) { return host::host_kv_put(key.data, key.size, value.data, value.size) == 0; }

// The caller's address as text.
inline Text caller(char (&buffer)[47]) { return {buffer, host::host_caller_read(buffer, 47)}; }

// Adds an event to the receipt of this call.
inline void emit(Text topic, Text data) { host::host_emit_event(topic.data, topic.size, data.data, data.size); }

inline void respond(char tag, Text value) {
    uint32_t size = value.size;
    char head[10] = {'O', 'C', 'W', 'S', '1', tag, char(size >> 24), char(size >> 16), char(size >> 8), char(size)};
    host::host_response_write(head, 10);
    host::host_response_write(value.data, value.size);
}
inline void respond_integer(Text digits) { respond(3, digits); }
inline void respond_text(Text text) { respond(4, text); }
inline void respond_null() { respond(0, ""); }

// The method's name in a request frame: "OCWR1" | u16 length | name | ...
inline Text method(Text request) {
    if (request.size < 7 || !(Text(request.data, 5) == "OCWR1")) return "";
    int32_t size = (uint8_t(request.data[5]) << 8) | uint8_t(request.data[6]);
    return 7 + size > request.size ? Text("") : Text(request.data + 7, size);
}

inline uint64_t parse(Text digits) {
    uint64_t number = 0;
    for (int32_t i = 0; i < digits.size; ++i) number = number * 10 + (digits.data[i] - '0');
    return number;
}

inline Text print(uint64_t number, char (&buffer)[20]) {
    int32_t start = 20;
    do buffer[--start] = '0' + number % 10;
    while (number /= 10);
    return {buffer + start, 20 - start};
}

}  // namespace octra

// The host asks here for room for the request. One call, one request: a fixed place is enough.
static char octra_request[4096];
OCTRA_EXPORT("octra_alloc") int32_t octra_alloc(int32_t size) {
    return size >= 0 && size <= int32_t(sizeof octra_request) ? int32_t(reinterpret_cast<intptr_t>(octra_request)) : -1;
}
