import type { ScriptedCommand } from './faults.js'

/** A command as it came over the wire. */
export interface WireRequest {
  readonly opcode: number
  readonly command: ScriptedCommand
  readonly opaque: number
  readonly cas: bigint
  readonly extras: Buffer
  readonly key: Buffer
  readonly value: Buffer
}

export interface WireAnswer {
  readonly status?: number
  readonly cas?: bigint
  readonly extras?: Uint8Array
  readonly key?: Uint8Array
  readonly value?: Uint8Array
}

const HEADER_BYTES = 24
const REQUEST_MAGIC = 0x80
const RESPONSE_MAGIC = 0x81

const COMMANDS: ReadonlyMap<number, ScriptedCommand> = new Map([
  [0x00, 'get'],
  [0x01, 'set'],
  [0x02, 'add'],
  [0x03, 'replace'],
  [0x04, 'delete'],
  [0x05, 'increment'],
  [0x07, 'quit'],
  [0x08, 'flush'],
  [0x0a, 'noop'],
  [0x0b, 'version'],
  [0x0c, 'getk'],
  [0x10, 'stat'],
  [0x1c, 'touch'],
  [0x1d, 'gat'],
  [0x20, 'sasl-mechanisms'],
  [0x21, 'sasl-authenticate'],
])

/** The complete commands at the start of `bytes`, and what is left; throws on bytes of another protocol. */
export const readRequests = (bytes: Buffer): { readonly requests: WireRequest[]; readonly rest: Buffer } => {
  const requests: WireRequest[] = []
  let start = 0
  while (bytes.length - start >= HEADER_BYTES) {
    if (bytes.readUInt8(start) !== REQUEST_MAGIC) throw new Error('only the binary protocol is spoken here')
    const end = start + HEADER_BYTES + bytes.readUInt32BE(start + 8)
    if (bytes.length < end) break
    const opcode = bytes.readUInt8(start + 1)
    const extrasAt = start + HEADER_BYTES
    const keyAt = extrasAt + bytes.readUInt8(start + 4)
    const valueAt = keyAt + bytes.readUInt16BE(start + 2)
    requests.push({
      opcode,
      command: COMMANDS.get(opcode) ?? 'unknown',
      opaque: bytes.readUInt32BE(start + 12),
      cas: bytes.readBigUInt64BE(start + 16),
      extras: bytes.subarray(extrasAt, keyAt),
      key: bytes.subarray(keyAt, valueAt),
      value: bytes.subarray(valueAt, end),
    })
    start = end
  }
  return { requests, rest: bytes.subarray(start) }
}

export const answerBytes = ({ opcode, opaque }: WireRequest, answer: WireAnswer): Buffer => {
  const { status = 0, cas = 0n, extras = NOTHING, key = NOTHING, value = NOTHING } = answer
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt8(RESPONSE_MAGIC, 0)
  header.writeUInt8(opcode, 1)
  header.writeUInt16BE(key.length, 2)
  header.writeUInt8(extras.length, 4)
  header.writeUInt16BE(status, 6)
  header.writeUInt32BE(extras.length + key.length + value.length, 8)
  header.writeUInt32BE(opaque, 12)
  header.writeBigUInt64BE(cas, 16)
  return Buffer.concat([header, extras, key, value])
}

const NOTHING = Buffer.alloc(0)
