/** How values come back from the server. Ours alone: a program may have taught `pg` other ways with booleans or bytes. */

/** In the words of `pg`'s `types`, which it takes with each query. */
export interface ValueTypes {
  getTypeParser(oid: number, format?: string): (value: string | Buffer) => unknown
}

const BOOL = 16
const BYTEA = 17
const INT8 = 20
const INT2 = 21
const INT4 = 23

const fromText = (oid: number, text: string): unknown => {
  if (oid === BOOL) return text === 't'
  if (oid === BYTEA) return bytesOf(text)
  return oid === INT8 || oid === INT2 || oid === INT4 ? Number(text) : text
}

/** pg makes text of all that comes before anybody can read it, which damages bytes. */
const damaged = (): never => {
  throw new Error('the pool asks for binary values (`binary: true`), and pg hands those on damaged')
}

/** `\x` and hexadecimal digits, or what `bytea_output = escape` makes: `\\` and `\ooo` for what is not printable. */
const bytesOf = (text: string): Buffer => {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex')
  const plain = text.replace(/\\(?:\\|([0-7]{3}))/g, (_, octal: string | undefined) =>
    octal === undefined ? '\\' : String.fromCharCode(Number.parseInt(octal, 8)),
  )
  return Buffer.from(plain, 'latin1')
}

export const VALUE_TYPES: ValueTypes = {
  getTypeParser: (oid, format) => (value) =>
    format !== 'binary' && typeof value === 'string' ? fromText(oid, value) : damaged(),
}
