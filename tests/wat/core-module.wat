;; A core module, which is valid WebAssembly but no component.
(module
  (memory (export "memory") 1)
  (func (export "respond") (param i32) (result i32) (i32.const 0)))
