//! What a Circle needs of its host: the request, the response, keys, events. Copy it, read it, change it.

mod host {
    #[link(wasm_import_module = "octra")]
    extern "C" {
        pub fn host_kv_read(key: *const u8, key_len: i32, out: *mut u8, capacity: i32) -> i32;
        pub fn host_kv_put(key: *const u8, key_len: i32, value: *const u8, value_len: i32) -> i32;
        pub fn host_caller_read(out: *mut u8, capacity: i32) -> i32;
        pub fn host_emit_event(topic: *const u8, topic_len: i32, data: *const u8, data_len: i32) -> i32;
        pub fn host_response_write(data: *const u8, len: i32) -> i32;
    }
}

/// Reads the value of `key` into `buffer`; the part that was filled, or nothing when the key is absent.
pub fn get<'a>(key: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let full = unsafe { host::host_kv_read(key.as_ptr(), key.len() as i32, buffer.as_mut_ptr(), buffer.len() as i32) };
    if full < 0 { None } else { Some(&buffer[..buffer.len().min(full as usize)]) }
}

/// Stores a value; false when a limit of the Circle is reached.
pub fn put(key: &[u8], value: &[u8]) -> bool {
    unsafe { host::host_kv_put(key.as_ptr(), key.len() as i32, value.as_ptr(), value.len() as i32) == 0 }
}

/// The caller's address as text.
pub fn caller(buffer: &mut [u8; 47]) -> &[u8] {
    let len = unsafe { host::host_caller_read(buffer.as_mut_ptr(), buffer.len() as i32) };
    &buffer[..len.max(0) as usize]
}

/// Adds an event to the receipt of this call.
pub fn emit(topic: &[u8], data: &[u8]) {
    unsafe { host::host_emit_event(topic.as_ptr(), topic.len() as i32, data.as_ptr(), data.len() as i32) };
}

fn write(data: &[u8]) {
    unsafe { host::host_response_write(data.as_ptr(), data.len() as i32) };
}

fn respond(tag: u8, value: &[u8]) {
    write(b"OCWS1");
    write(&[tag]);
    write(&(value.len() as u32).to_be_bytes());
    write(value);
}

/// Answers with an integer, given as decimal text.
pub fn respond_integer(digits: &[u8]) {
    respond(3, digits)
}

/// Answers with a text.
pub fn respond_text(text: &[u8]) {
    respond(4, text)
}

/// Answers with nothing.
pub fn respond_null() {
    respond(0, b"")
}

/// The method's name in a request frame: `"OCWR1" | u16 length | name | ...`.
pub fn method(request: &[u8]) -> &[u8] {
    if request.len() < 7 || &request[..5] != b"OCWR1" {
        return b"";
    }
    let end = 7 + u16::from_be_bytes([request[5], request[6]]) as usize;
    if end > request.len() { b"" } else { &request[7..end] }
}

/// The number that decimal text spells; zero for none.
pub fn parse(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + (digit - b'0') as u64)
}

/// Decimal text of a number.
pub fn print(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

static mut REQUEST: [u8; 4096] = [0; 4096];

/// The host asks here for room for the request. One call, one request: a fixed place is enough.
#[no_mangle]
pub extern "C" fn octra_alloc(size: i32) -> i32 {
    if (0..=4096).contains(&size) { unsafe { core::ptr::addr_of_mut!(REQUEST) as i32 } } else { -1 }
}

/// The request that the host has written.
pub fn request(start: i32, size: i32) -> &'static [u8] {
    unsafe { core::slice::from_raw_parts(start as *const u8, size as usize) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
