;; A counter that everybody may raise and everybody may read.
(module
  (import "octra" "host_kv_read" (func $kv_read (param $key i32) (param $key_len i32) (param $out i32) (param $capacity i32) (result i32)))
  (import "octra" "host_kv_put" (func $kv_put (param $key i32) (param $key_len i32) (param $value i32) (param $value_len i32) (result i32)))
  (import "octra" "host_caller_read" (func $caller_read (param $out i32) (param $capacity i32) (result i32)))
  (import "octra" "host_emit_event" (func $emit (param $topic i32) (param $topic_len i32) (param $data i32) (param $data_len i32) (result i32)))
  (import "octra" "host_response_write" (func $write (param $data i32) (param $len i32) (result i32)))

  ;; Memory: constants from 0, the address at 64, digits end at 144, the answer's head at 160, the request at 1024.
  (memory (export "memory") 1)
  (data (i32.const 0) "count")
  (data (i32.const 8) "last")
  (data (i32.const 16) "counted")
  (data (i32.const 24) "unknown method")
  (data (i32.const 40) "0")
  (data (i32.const 44) "inc")
  (data (i32.const 48) "get")
  (data (i32.const 160) "OCWS1")

  ;; The host asks here for room for the request.
  (func (export "octra_alloc") (param $size i32) (result i32)
    (select (i32.const 1024) (i32.const -1) (i32.le_u (local.get $size) (i32.const 4096))))

  ;; Is the request's method the `len` bytes at `name`? Frame: "OCWR1" | u16 length | name | ...
  (func $is (param $request i32) (param $name i32) (param $len i32) (result i32)
    (local $i i32)
    (if (i32.ne (i32.load8_u offset=5 (local.get $request)) (i32.const 0)) (then (return (i32.const 0))))
    (if (i32.ne (i32.load8_u offset=6 (local.get $request)) (local.get $len)) (then (return (i32.const 0))))
    (loop $next
      (if (i32.ne
            (i32.load8_u offset=7 (i32.add (local.get $request) (local.get $i)))
            (i32.load8_u (i32.add (local.get $name) (local.get $i))))
        (then (return (i32.const 0))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $len))))
    (i32.const 1))

  ;; Answers with a tag and bytes; returns the call's code.
  (func $respond (param $tag i32) (param $data i32) (param $len i32) (param $code i32) (result i32)
    (i32.store8 (i32.const 165) (local.get $tag))
    (i32.store16 (i32.const 166) (i32.const 0))
    (i32.store8 (i32.const 168) (i32.shr_u (local.get $len) (i32.const 8)))
    (i32.store8 (i32.const 169) (local.get $len))
    (drop (call $write (i32.const 160) (i32.const 10)))
    (drop (call $write (local.get $data) (local.get $len)))
    (local.get $code))

  (func $unknown (result i32)
    (call $respond (i32.const 4) (i32.const 24) (i32.const 14) (i32.const 1)))

  ;; Raises the count by one, remembers who did it, and answers with the new count.
  (func $inc (result i32)
    (local $len i32) (local $i i32) (local $start i32) (local $caller_len i32) (local $count i64)
    (local.set $len (call $kv_read (i32.const 0) (i32.const 5) (i32.const 124) (i32.const 20)))
    (block $read
      (loop $next
        (br_if $read (i32.ge_s (local.get $i) (local.get $len)))
        (local.set $count
          (i64.add
            (i64.mul (local.get $count) (i64.const 10))
            (i64.extend_i32_u (i32.sub (i32.load8_u offset=124 (local.get $i)) (i32.const 48)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.set $count (i64.add (local.get $count) (i64.const 1)))
    (local.set $start (i32.const 144))
    (loop $digit
      (local.set $start (i32.sub (local.get $start) (i32.const 1)))
      (i32.store8 (local.get $start)
        (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $count) (i64.const 10)))))
      (local.set $count (i64.div_u (local.get $count) (i64.const 10)))
      (br_if $digit (i64.ne (local.get $count) (i64.const 0))))
    (local.set $len (i32.sub (i32.const 144) (local.get $start)))
    (local.set $caller_len (call $caller_read (i32.const 64) (i32.const 47)))
    (if (call $kv_put (i32.const 0) (i32.const 5) (local.get $start) (local.get $len)) (then (return (i32.const 2))))
    (if (call $kv_put (i32.const 8) (i32.const 4) (i32.const 64) (local.get $caller_len)) (then (return (i32.const 2))))
    (drop (call $emit (i32.const 16) (i32.const 7) (local.get $start) (local.get $len)))
    (call $respond (i32.const 3) (local.get $start) (local.get $len) (i32.const 0)))

  ;; The count.
  (func $get (result i32)
    (local $len i32)
    (local.set $len (call $kv_read (i32.const 0) (i32.const 5) (i32.const 124) (i32.const 20)))
    (if (i32.lt_s (local.get $len) (i32.const 0))
      (then (return (call $respond (i32.const 3) (i32.const 40) (i32.const 1) (i32.const 0)))))
    (call $respond (i32.const 3) (i32.const 124) (local.get $len) (i32.const 0)))

  ;; Who raised it last, or nothing.
  (func $last (result i32)
    (local $len i32)
    (local.set $len (call $kv_read (i32.const 8) (i32.const 4) (i32.const 64) (i32.const 47)))
    (if (i32.lt_s (local.get $len) (i32.const 0))
      (then (return (call $respond (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
    (call $respond (i32.const 4) (i32.const 64) (local.get $len) (i32.const 0)))

  ;; Methods that write. A return value other than 0 undoes all that the call did.
  (func (export "octra_update") (param $start i32) (param $size i32) (result i32)
    (if (call $is (local.get $start) (i32.const 44) (i32.const 3)) (then (return (call $inc))))
    (call $unknown))

  ;; Methods that only read.
  (func (export "octra_query") (param $start i32) (param $size i32) (result i32)
    (if (call $is (local.get $start) (i32.const 48) (i32.const 3)) (then (return (call $get))))
    (if (call $is (local.get $start) (i32.const 8) (i32.const 4)) (then (return (call $last))))
    (call $unknown))
)
