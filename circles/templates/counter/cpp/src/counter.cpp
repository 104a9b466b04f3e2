// A counter that everybody may raise and everybody may read.
#include "octra.hpp"

using octra::Text;

enum { OK = 0, UNKNOWN_METHOD = 1, STATE_FULL = 2 };
static constexpr Text COUNT = "count", LAST = "last";

// Raises the count by one, remembers who did it, and answers with the new count.
static int32_t inc() {
    char digits[20], address[47];
    Text count = octra::print(octra::parse(octra::get(COUNT, digits)) + 1, digits);
    Text caller = octra::caller(address);
    if (!octra::put(COUNT, count) || !octra::put(LAST, caller)) return STATE_FULL;
    octra::emit("counted", count);
    octra::respond_integer(count);
    return OK;
}

// The count.
static int32_t get() {
    char digits[20];
    Text count = octra::get(COUNT, digits);
    octra::respond_integer(count.size < 0 ? Text("0") : count);
    return OK;
}

// Who raised it last, or nothing.
static int32_t last() {
    char address[47];
    Text caller = octra::get(LAST, address);
    if (caller.size < 0)
        octra::respond_null();
    else
        octra::respond_text(caller);
    return OK;
}

static int32_t unknown() {
    octra::respond_text("unknown method");
    return UNKNOWN_METHOD;
}

// Methods that write. A return value other than 0 undoes all that the call did.
OCTRA_EXPORT("octra_update") int32_t octra_update(const char *start, int32_t size) {
    Text method = octra::method({start, size});
    return method == "inc" ? inc() : unknown();
}

// Methods that only read.
OCTRA_EXPORT("octra_query") int32_t octra_query(const char *start, int32_t size) {
    Text method = octra::method({start, size});
    return method == "get" ? get() : method == "last" ? last() : unknown();
}
