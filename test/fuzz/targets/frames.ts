import { encode, type Frame, FrameReader } from '../../../src/caches/memcached/frames.js'
import { IMPOSSIBLE_LENGTH, mismatch, OPCODE } from '../../../src/caches/memcached/protocol.js'
import { strangerOf } from '../../../src/caches/memcached/strangers.js'
import { anyBytes, SECRET } from '../mutate.js'
import { assertEqual, assertThat, targetOf } from '../target.js'

const answer = (opcode: number, opaque: number, { extras = '', key = '', value = '', status = 0 } = {}): Buffer => {
  const body = Buffer.from(extras + key + value, 'latin1')
  const bytes = Buffer.alloc(24)
  bytes.writeUInt8(0x81, 0)
  bytes.writeUInt8(opcode, 1)
  bytes.writeUInt16BE(key.length, 2)
  bytes.writeUInt8(extras.length, 4)
  bytes.writeUInt16BE(status, 6)
  bytes.writeUInt32BE(body.length, 8)
  bytes.writeUInt32BE(opaque, 12)
  bytes.writeUInt32BE(7, 20)
  return Buffer.concat([bytes, body])
}

const HIT = answer(OPCODE.getKey, 1, { extras: '\0\0\0\0', key: 'shop:key', value: `{"name":"${SECRET}"}` })
const SAMPLES = [
  HIT,
  Buffer.concat([answer(OPCODE.set, 1), HIT, answer(OPCODE.delete, 3)]),
  answer(OPCODE.getKey, 1, { status: 1, value: 'Not found' }),
  answer(OPCODE.getKey, 1, { extras: '\0\0\0\0', key: 'shop:key', value: 'x'.repeat(2_000) }),
  Buffer.from('ERROR\r\n'),
  Buffer.from('-ERR unknown command\r\n'),
  Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
]

/** A larger body is let pass. */
const LONGEST = 1_000

/** How many answers somebody waits for. */
const AWAITED = 8

interface Read {
  readonly frames: readonly Frame[]
  readonly ended: string | undefined
}

interface Input {
  readonly bytes: Buffer
  /** How large the pieces are in which they come. */
  readonly size: number
}

const ENDINGS = [IMPOSSIBLE_LENGTH, 'nobody asked']

/** What a connection makes of the bytes: answers, until one ends it. */
const read = (bytes: Buffer, size: number): Read => {
  const frames: Frame[] = []
  const reader = new FrameReader({
    admit: () => {
      if (frames.length >= AWAITED) throw new Error('nobody asked')
      return LONGEST
    },
    strange: (strange) => new Error(strangerOf(strange)),
    take: (frame) => {
      // The reader's caller looks at once whether it can be the answer.
      mismatch({ opcode: OPCODE.getKey, key: Buffer.from('shop:key') }, frame)
      frames.push({ ...frame, key: Buffer.from(frame.key), value: Buffer.from(frame.value) })
    },
  })
  try {
    for (let at = 0; at < bytes.length; at += size) reader.push(Buffer.from(bytes.subarray(at, at + size)))
    return { frames, ended: undefined }
  } catch (error) {
    const { message } = error as Error
    if (ENDINGS.includes(message) || message === strangerOf(bytes) || /^it /.test(message))
      return { frames, ended: message }
    throw error
  }
}

export const frames = targetOf<Input, Read>({
  name: 'frames',
  make: (chance) => ({ bytes: anyBytes(chance, SAMPLES), size: chance.pick([1, 2, 3, 7, 24, 25, 64, 1_000]) }),
  bytesOf: ({ bytes }) => bytes,
  parse: ({ bytes, size }) => {
    const outcome = read(bytes, size)
    if (outcome.ended?.includes(SECRET)) throw new Error(outcome.ended)
    return outcome
  },
  check: ({ frames: found, ended }, { bytes }) => {
    assertThat('an error that shows what came', ended?.includes(SECRET) !== true)
    const whole = read(bytes, bytes.length || 1)
    assertEqual('what came in pieces', found, whole.frames)
    assertThat(
      'a connection that ends as it would with all bytes at once',
      (ended === undefined) === (whole.ended === undefined),
    )
    let at = 0
    for (const frame of found) {
      assertThat('a value that is no longer than somebody waits for', frame.value.length + frame.key.length <= LONGEST)
      const body = bytes.readUInt32BE(at + 8)
      if (frame.omittedBytes === 0) {
        const again = encode(
          {
            opcode: frame.opcode,
            extras: bytes.subarray(at + 24, at + 24 + frame.extrasBytes),
            key: frame.key,
            value: frame.value,
            cas: frame.cas,
          },
          frame.opaque,
        )
        again.writeUInt8(0x81, 0)
        again.writeUInt16BE(bytes.readUInt16BE(at + 5), 5)
        again.writeUInt8(bytes.readUInt8(at + 7), 7)
        assertEqual('an answer that was read and written', again, bytes.subarray(at, at + 24 + body))
      }
      at += 24 + body
    }
    assertThat('answers that are in the bytes', at <= bytes.length)
  },
  refuses: () => false,
  cut: { frames: [], ended: 'it was cut short' },
  faults: {
    'forgets the last byte of a value': (parse) => (input) => {
      const { frames: found, ended } = parse(input)
      return { ended, frames: found.map((frame) => ({ ...frame, value: frame.value.subarray(0, -1) })) }
    },
    'shows what it could not read': (parse) => (input) => {
      const { frames: found, ended } = parse(input)
      return { frames: found, ended: ended === undefined ? ended : `${ended} ${input.bytes.toString('latin1')}` }
    },
    'accepts a field that is cut short': (parse) => (input) => {
      const { frames: found, ended } = parse(input)
      const [first] = found
      return { ended, frames: first === undefined ? found : [...found, first] }
    },
  },
})
