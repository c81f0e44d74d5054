/** express 4 under a name of its own, beside express 5; what the tests call of it is the same in both. */
declare module 'express4' {
  import express from 'express'

  export default express
}
