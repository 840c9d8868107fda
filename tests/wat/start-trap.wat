;; Traps while it is instantiated: in the start function of its core module.
(component
  (import "anchorhold:agent/types@0.1.0" (instance $types
    (type $text (option string))
    (type $author' (record (field "id" string) (field "name" $text)))
    (export "author" (type $author (eq $author')))
    (type $bytes (list u8))
    (type $media-source' (variant
      (case "inline" $bytes) (case "url" string) (case "blob" string)))
    (export "media-source" (type $media-source (eq $media-source')))
    (type $attachment' (record
      (field "name" string) (field "mime-type" string) (field "source" $media-source)))
    (export "attachment" (type $attachment (eq $attachment')))
    (type $speaker' (enum "user" "assistant"))
    (export "speaker" (type $speaker (eq $speaker')))
    (type $some-author (option $author))
    (type $past-message' (record
      (field "speaker" $speaker) (field "text" string)
      (field "author" $some-author) (field "at-ms" u64)))
    (export "past-message" (type $past-message (eq $past-message')))
    (type $tool-definition' (record
      (field "name" string) (field "description" $text)
      (field "input-schema-json" string) (field "strict" bool)))
    (export "tool-definition" (type $tool-definition (eq $tool-definition')))
    (type $tool-result' (record
      (field "call-id" string) (field "text" string) (field "is-error" bool)))
    (export "tool-result" (type $tool-result (eq $tool-result')))
    (type $attachments (list $attachment))
    (type $history (list $past-message))
    (type $tools (list $tool-definition))
    (type $results (list $tool-result))
    (type $message' (record
      (field "id" string) (field "conversation" string) (field "channel" string)
      (field "author" $author) (field "text" string) (field "at-ms" u64)
      (field "attachments" $attachments) (field "history" $history)
      (field "client-tools" $tools) (field "client-tool-results" $results)
      (field "context-json" string)))
    (export "message" (type $message (eq $message')))
    (type $tool-call' (record
      (field "id" string) (field "name" string) (field "arguments-json" string)))
    (export "tool-call" (type $tool-call (eq $tool-call')))
    (type $calls (list $tool-call))
    (type $reply' (record
      (field "text" string) (field "attachments" $attachments)
      (field "tool-calls" $calls) (field "metadata-json" $text)))
    (export "reply" (type $reply (eq $reply')))
    (type $error-kind' (enum
      "invalid-input" "denied" "not-found" "conflict" "limit-exceeded" "budget-exceeded"
      "unavailable" "timed-out" "cancelled" "internal"))
    (export "error-kind" (type $error-kind (eq $error-kind')))
    (type $time (option u64))
    (type $error' (record
      (field "kind" $error-kind) (field "message" string) (field "retryable" bool)
      (field "retry-after-ms" $time) (field "detail-json" $text)))
    (export "error" (type $error (eq $error')))))
  (alias export $types "message" (type $message))
  (alias export $types "reply" (type $reply))
  (alias export $types "error" (type $error))

  (core module $main
    (memory (export "memory") 4)
    (data (i32.const 64) "unreachable")
    (func $start unreachable)
    (start $start)

    (func (export "respond") (param $message i32) (result i32)
      (call $reply (i32.const 11)))

    ;; What the host passes in is put one behind the other, from 1024 on.
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
        (result i32)
      (local $place i32)
      (local.set $place (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $free (i32.add (local.get $place) (local.get $size)))
      (local.get $place))

    ;; `ok` of a reply whose text is the first `length` bytes at 64.
    (func $reply (param $length i32) (result i32)
      (i32.store (i32.const 8) (i32.const 64))
      (i32.store (i32.const 12) (local.get $length))
      (i32.const 0)))

  (core instance $main (instantiate $main))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "realloc" (core func $realloc))
  (alias core export $main "respond" (core func $lifted))
  (func $respond (param "message" $message) (result (result $reply (error $error)))
    (canon lift (core func $lifted) (memory $memory) (realloc (core func $realloc))))
  (instance $chat
    (export "message" (type $message))
    (export "reply" (type $reply))
    (export "error" (type $error))
    (export "respond" (func $respond)))
  (export "anchorhold:agent/chat@0.1.0" (instance $chat))
)
