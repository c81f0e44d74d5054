/**
 * What travels by way of `msgpack-unusual.ts`. The first releases wrote and read whole sessions with msgpackr 2.1.3, which
 * bends it, and what they wrote is read, and compared with what is written now.
 */

/** ES2024, which Node has had since 20; our `lib` is ES2023. */
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

/** Lone surrogates become U+FFFD; a leading U+FEFF is eaten by its TextDecoder in texts of more than 64 bytes. */
export const isUnusualText = (text: string): boolean => text.charCodeAt(0) === 0xfeff || !isWellFormed(text)

/**
 * Keys that must not reach msgpackr as a record's.
 *
 * `__keys__` is how its encoder names a private field in the tree of known shapes, and the tree outlives the call:
 * after `{ a: 1, __keys__: 1 }` every `{ a: … }` of this process would be encoded so that it cannot be decoded.
 * An own `hasOwnProperty` makes it write inherited properties.
 */
export const isUnusualKey = (key: string): boolean =>
  key === '__keys__' || key === '__proto__' || key === 'hasOwnProperty' || isUnusualText(key)

/** The language's own classes of errors that are made of a message. */
export const ERROR_CLASSES: readonly (new (message?: string) => Error)[] = [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
]

const ERRORS: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  ...ERROR_CLASSES.map(({ prototype, name }): [unknown, string] => [prototype, name]),
  [AggregateError.prototype, 'AggregateError'],
])

/** Is this the prototype of one of the language's own errors, not of a class derived from one? */
export const isErrorClass = (prototype: unknown): boolean => ERRORS.has(prototype)

/** The name of that class. */
export const errorClassOf = (prototype: unknown): string | undefined => ERRORS.get(prototype)

/** An error of that class with no own properties but its stack; `undefined` for a class we do not know. */
export const bareError = (className: unknown): Error | undefined => {
  if (className === 'AggregateError') return new AggregateError([])
  const found = ERROR_CLASSES.find(({ name }) => name === className)
  return found && new found()
}
