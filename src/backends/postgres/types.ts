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

/** Pools may be set to ask for binary values. */
const fromBinary = (oid: number, bytes: Buffer): unknown => {
  if (oid === BOOL) return bytes[0] === 1
  if (oid === BYTEA) return bytes
  if (oid === INT8) return Number(bytes.readBigInt64BE())
  if (oid === INT4) return bytes.readInt32BE()
  return oid === INT2 ? bytes.readInt16BE() : bytes.toString('utf8')
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
  getTypeParser: (oid) => (value) => (typeof value === 'string' ? fromText(oid, value) : fromBinary(oid, value)),
}
