/**
 * How much an answer of the server may have. What comes over a connection is held against it before pg sees it, since pg
 * keeps all that it is sent, and ends or stops the process over messages that no PostgreSQL sends.
 */

/** The most that one answer may come to. */
export interface AnswerBound {
  readonly bytes: number
  readonly messages: number
}

/** Of what has no data: statements that change, counts, looks, set-up, and what comes before anything was asked. */
const USUAL_BYTES = 1_048_576
/** A server that is told to can add notices to each answer. */
const USUAL_MESSAGES = 1_000

/** What a row has beside its data: moments, numbers, and a few texts, which are short. */
const ROW_BYTES = 65_536

/** The same of a row that is no more than the key of a session. */
export const KEY_ROW_BYTES = 1_024

/** The digits of one byte: two, or four where the server writes `bytea_output = escape`. */
const DIGITS = 4

/** The bound of an answer that has so many rows, and in all of them so many bytes of data. */
export const boundOf = ({
  rows = 0,
  rowBytes = ROW_BYTES,
  dataBytes = 0,
}: {
  readonly rows?: number
  readonly rowBytes?: number
  readonly dataBytes?: number
} = {}): AnswerBound => ({
  bytes: USUAL_BYTES + rows * rowBytes + dataBytes * DIGITS,
  messages: USUAL_MESSAGES + rows,
})

/** An answer was not read to its end, and its connection was ended. The message says why, without any of the answer. */
export class UnreadAnswer extends Error {
  override get name(): string {
    return 'UnreadAnswer'
  }
}

const SOMETHING_ELSE = 'something else than PostgreSQL gave it'

export const tooMuch = ({ bytes }: Pick<AnswerBound, 'bytes'>): UnreadAnswer =>
  new UnreadAnswer(
    `its answer is larger than the ${bytes} bytes that it may have: ${SOMETHING_ELSE}, or \`maxDataBytes\` is less than what other processes store`,
  )

const tooMany = ({ messages }: AnswerBound): UnreadAnswer =>
  new UnreadAnswer(`its answer has more than the ${messages} messages that it may have: ${SOMETHING_ELSE}`)

/** @param cause what pg said of it, if pg has seen it */
export const unreadable = (cause?: unknown): UnreadAnswer =>
  new UnreadAnswer(
    `its answer is none that can be read: ${SOMETHING_ELSE}, or it was damaged on the way`,
    cause === undefined ? {} : { cause },
  )

/** One byte for the kind, and four for how long it and what follows are. */
const HEAD_BYTES = 5
const LENGTH_BYTES = 4

/** The kinds that are lists of texts, an error and a notice: pg reads on and on where the end of the list is missing. */
const LISTS: ReadonlySet<number> = new Set([0x45, 0x4e])

/**
 * How much there must at least be of some kinds: of a shorter one pg reads on, into what its buffer held before. Rows and
 * descriptions have a count, a sign-in its way, a key two numbers, and "ready" one letter.
 */
const LEAST_BYTES: ReadonlyMap<number, number> = new Map([
  [0x44, 2],
  [0x54, 2],
  [0x74, 2],
  [0x52, 4],
  [0x4b, 8],
  [0x5a, 1],
])

/**
 * Counts the bytes and the messages of one connection from its first byte on. A message is counted by the length that it
 * claims, so that nothing of one that is too long is kept.
 */
export class AnswerMeter {
  #bound: AnswerBound = boundOf()
  #bytes = 0
  #messages = 0
  /** What has come of the head of the next message. */
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #headBytes = 0
  /** How many bytes of the message under way are still to come. */
  #leftBytes = 0
  #isList = false
  /** How many zeros the bytes of its body end with so far, as far as it has come. */
  #zeros = 0

  /** The next answer may have so much; what has come until now is not counted against it. */
  expect(bound: AnswerBound): void {
    this.#bound = bound
    this.#bytes = 0
    this.#messages = 0
  }

  /** @throws UnreadAnswer with the first piece after which the connection is of no use any more */
  look(chunk: Uint8Array): void {
    this.#bytes += chunk.length
    if (this.#bytes > this.#bound.bytes) throw tooMuch(this.#bound)
    let at = 0
    while (at < chunk.length) at += this.#leftBytes > 0 ? this.#body(chunk, at) : this.#begin(chunk, at)
  }

  /** How many bytes from `at` on belong to the head. */
  #begin(chunk: Uint8Array, at: number): number {
    const there = chunk.subarray(at, at + HEAD_BYTES - this.#headBytes)
    this.#head.set(there, this.#headBytes)
    this.#headBytes += there.length
    if (this.#headBytes < HEAD_BYTES) return there.length
    const length = this.#head.readUInt32BE(1)
    this.#headBytes = 0
    this.#messages += 1
    const kind = this.#head.readUInt8(0)
    this.#isList = LISTS.has(kind)
    this.#leftBytes = length - LENGTH_BYTES
    this.#zeros = 0
    // Two zeros end a list: that of its last text, and that of the list. An empty one has its own alone.
    if (length < LENGTH_BYTES + (LEAST_BYTES.get(kind) ?? 0) || (this.#isList && this.#leftBytes === 0))
      throw unreadable()
    if (this.#isList && this.#leftBytes === 1) this.#zeros = 1
    const behind = chunk.length - at - there.length
    if (this.#bytes - behind + this.#leftBytes > this.#bound.bytes) throw tooMuch(this.#bound)
    if (this.#messages > this.#bound.messages) throw tooMany(this.#bound)
    return there.length
  }

  /** How many bytes from `at` on belong to the message under way. */
  #body(chunk: Uint8Array, at: number): number {
    const there = chunk.subarray(at, at + this.#leftBytes)
    this.#leftBytes -= there.length
    if (!this.#isList) return there.length
    const [last, beforeLast] = [there.at(-1), there.length > 1 ? there.at(-2) : undefined]
    if (last !== 0) this.#zeros = 0
    else this.#zeros = beforeLast === undefined ? this.#zeros + 1 : beforeLast === 0 ? 2 : 1
    if (this.#leftBytes === 0 && this.#zeros < 2) throw unreadable()
    return there.length
  }
}

/** Who counts the answers that come over a connection. */
export interface Metered {
  /** The next answer may have so much. Without a bound none is awaited any more. */
  expect(bound?: AnswerBound): void
  /** Why the connection was ended by whoever counts: pg may tell of something that went wrong before. */
  readonly unread: UnreadAnswer | undefined
}
