;; Speaks version 9.0.0 of the contract, whose shapes nobody knows yet: `log` and `chat` of plain text.
;; The host has to say so before it instantiates it.
(component
  (import "anchorhold:agent/log@9.0.0" (instance $log
    (export "write" (func (param "message" string)))))

  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $shared))
  (alias core export $memory "realloc" (core func $realloc))
  (alias export $log "write" (func $log-write))
  (core func $write (canon lower (func $log-write) (memory $shared)))

  (core module $main
    (import "log" "write" (func $write (param i32 i32)))
    (import "memory" "memory" (memory 1))
    (func (export "respond") (param $text i32) (param $length i32) (result i32)
      (call $write (local.get $text) (local.get $length))
      (i32.store (i32.const 0) (local.get $text))
      (i32.store (i32.const 4) (local.get $length))
      (i32.const 0)))
  (core instance $main (instantiate $main
    (with "log" (instance (export "write" (func $write))))
    (with "memory" (instance $memory))))
  (alias core export $main "respond" (core func $lifted))
  (func $respond (param "text" string) (result string)
    (canon lift (core func $lifted) (memory $shared) (realloc (core func $realloc))))
  (instance $chat (export "respond" (func $respond)))
  (export "anchorhold:agent/chat@9.0.0" (instance $chat))
)
