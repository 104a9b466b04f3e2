//! A counter that everybody may raise and everybody may read.
#![no_std]

mod octra;

const COUNT: &[u8] = b"count";
const LAST: &[u8] = b"last";
const UNKNOWN_METHOD: i32 = 1;
const STATE_FULL: i32 = 2;

/// Methods that write. A return value other than 0 undoes all that the call did.
#[no_mangle]
pub extern "C" fn octra_update(start: i32, size: i32) -> i32 {
    match octra::method(octra::request(start, size)) {
        b"inc" => inc(),
        _ => unknown(),
    }
}

/// Methods that only read.
#[no_mangle]
pub extern "C" fn octra_query(start: i32, size: i32) -> i32 {
    match octra::method(octra::request(start, size)) {
        b"get" => get(),
        b"last" => last(),
        _ => unknown(),
    }
}

/// Raises the count by one, remembers who did it, and answers with the new count.
fn inc() -> i32 {
    let mut digits = [0; 20];
    let count = octra::get(COUNT, &mut digits).map_or(0, octra::parse) + 1;
    let count = octra::print(count, &mut digits);
    let mut caller = [0; 47];
    let caller = octra::caller(&mut caller);
    if !octra::put(COUNT, count) || !octra::put(LAST, caller) {
        return STATE_FULL;
    }
    octra::emit(b"counted", count);
    octra::respond_integer(count);
    0
}

/// The count.
fn get() -> i32 {
    let mut digits = [0; 20];
    octra::respond_integer(octra::get(COUNT, &mut digits).unwrap_or(b"0"));
    0
}

/// Who raised it last, or nothing.
fn last() -> i32 {
    let mut address = [0; 47];
    match octra::get(LAST, &mut address) {
        Some(address) => octra::respond_text(address),
        None => octra::respond_null(),
    }
    0
}

fn unknown() -> i32 {
    octra::respond_text(b"unknown method");
    UNKNOWN_METHOD
}
