import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Which way bytes go: to the server, or back from it. */
export type Direction = 'requests' | 'answers'

/** What a proxy did, to see that a fault was felt. */
export interface ProxyCounts {
  readonly connections: number
  /** Bytes that it passed on, each way. */
  readonly passed: Readonly<Record<Direction, number>>
  /** Bytes that it swallowed or never passed on. */
  readonly withheld: number
}

/**
 * A wire to a server that passes every byte on as it is, until it is told otherwise. All faults concern the
 * connections there are and, where they last, those that come meanwhile.
 */
export interface FaultProxy {
  readonly port: number
  counts(): ProxyCounts
  /** Lets exactly so many more bytes of each connection pass that way, ends it with a FIN, and tells the server nothing more. */
  cutAfter(bytes: number, direction: Direction): void
  /** Swallows what the server answers from now on; requests arrive. Ends with `heal`. */
  dropReplies(): void
  /**
   * Nothing passes, either way, and nobody is told; new connections are accepted. `heal` passes on late what was
   * held back, as a network does that had lost its packets.
   */
  blackHole(): void
  /** Every byte comes so much later, in order. Ends with `heal`. */
  delay(byMs: number): void
  /** The client sees the server's side end; its own side stays open, and what it sends still arrives. */
  halfClose(): void
  /** Both sides see a RST. */
  reset(): void
  /** Lasting faults end. A connection that has lost bytes is reset, as no byte of its stream can be trusted any more. */
  heal(): void
  /** Cuts everything and stops listening. May be called twice. */
  close(): Promise<void>
}

type Mode =
  | { readonly is: 'open' | 'dropping replies' | 'black hole' }
  | { readonly is: 'delaying'; readonly byMs: number }

/** Starts one on a free port of 127.0.0.1, in front of another. */
export const faultProxy = async (target: () => number): Promise<FaultProxy> => {
  const wires = new Set<Wire>()
  const passed: Record<Direction, number> = { requests: 0, answers: 0 }
  let connections = 0
  let withheld = 0
  let mode: Mode = { is: 'open' }
  const books: Books = {
    passed: (direction, bytes) => {
      passed[direction] += bytes
    },
    withheld: (bytes) => {
      withheld += bytes
    },
  }
  const server = createServer({ allowHalfOpen: true }, (near) => {
    connections += 1
    const far = connect({ port: target(), host: '127.0.0.1', allowHalfOpen: true })
    const wire = new Wire(near, far, books, () => mode)
    wires.add(wire)
    // In a black hole the client's side outlives the server's, and has to be ended when it heals.
    near.once('close', () => wires.delete(wire))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const each = (what: (wire: Wire) => void): void => {
    for (const wire of [...wires]) what(wire)
  }
  let closed: Promise<unknown> | undefined
  return {
    port: (server.address() as AddressInfo).port,
    counts: () => ({ connections, passed: { ...passed }, withheld }),
    cutAfter: (bytes, direction) => each((wire) => wire.cutAfter(bytes, direction)),
    dropReplies: () => {
      mode = { is: 'dropping replies' }
    },
    blackHole: () => {
      mode = { is: 'black hole' }
    },
    delay: (byMs) => {
      mode = { is: 'delaying', byMs }
    },
    halfClose: () => each((wire) => wire.halfClose()),
    reset: () => each((wire) => wire.reset()),
    heal: () => {
      mode = { is: 'open' }
      each((wire) => wire.heal())
    },
    close: async () => {
      closed ??= new Promise((resolve) => server.close(resolve))
      each((wire) => wire.reset())
      await closed
    },
  }
}

interface Books {
  passed(direction: Direction, bytes: number): void
  withheld(bytes: number): void
}

/** One way of one connection. What waits is kept in order: bytes, or the end of them. */
class Pipe {
  readonly direction: Direction
  readonly #to: Socket
  readonly #books: Books
  readonly #mode: () => Mode
  readonly #onCut: () => void
  #waiting: { readonly bytes: Buffer | 'end'; readonly dueAt: number }[] = []
  #left = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  hasLost = false

  constructor(direction: Direction, from: Socket, to: Socket, books: Books, mode: () => Mode, onCut: () => void) {
    this.direction = direction
    this.#to = to
    this.#books = books
    this.#mode = mode
    this.#onCut = onCut
    from.on('data', (bytes: Buffer) => {
      this.#take(bytes)
      // One that does not read is not written to; what it is owed stays with the sender.
      if (to.writableNeedDrain) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    })
    from.on('end', () => this.#take('end'))
  }

  cutAfter(bytes: number): void {
    this.#left = bytes
    if (bytes === 0) this.#onCut()
  }

  /** What was held back, or waits for its time, goes on now. */
  release(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const { bytes } of waiting) this.#pass(bytes)
  }

  stop(): void {
    clearTimeout(this.#timer)
    for (const { bytes } of this.#waiting) if (bytes !== 'end') this.#books.withheld(bytes.length)
    this.#waiting = []
  }

  #take(bytes: Buffer | 'end'): void {
    const mode = this.#mode()
    if (mode.is === 'dropping replies' && this.direction === 'answers') {
      if (bytes !== 'end') this.#lose(bytes.length)
      return
    }
    if (mode.is === 'black hole') {
      this.#waiting.push({ bytes, dueAt: Number.POSITIVE_INFINITY })
      return
    }
    if (mode.is === 'delaying' || this.#waiting.length > 0) {
      this.#waiting.push({ bytes, dueAt: performance.now() + (mode.is === 'delaying' ? mode.byMs : 0) })
      this.#schedule()
      return
    }
    this.#pass(bytes)
  }

  #schedule(): void {
    const [first] = this.#waiting
    if (first === undefined || this.#timer !== undefined || first.dueAt === Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        while (this.#waiting[0] !== undefined && this.#waiting[0].dueAt <= performance.now() + 0.5) {
          const { bytes } = this.#waiting.shift() as { bytes: Buffer | 'end' }
          this.#pass(bytes)
        }
        this.#schedule()
      },
      Math.max(0, first.dueAt - performance.now()),
    )
  }

  #pass(bytes: Buffer | 'end'): void {
    if (this.#left <= 0) {
      if (bytes !== 'end') this.#lose(bytes.length)
      return
    }
    if (bytes === 'end') {
      this.#to.end()
      return
    }
    const part = bytes.subarray(0, this.#left)
    this.#left -= part.length
    this.#books.passed(this.direction, part.length)
    this.#to.write(part)
    if (part.length < bytes.length) this.#lose(bytes.length - part.length)
    if (this.#left === 0) this.#onCut()
  }

  #lose(bytes: number): void {
    this.hasLost = true
    this.#books.withheld(bytes)
  }
}

/** One client's connection and its continuation to the server. */
class Wire {
  readonly #near: Socket
  readonly #far: Socket
  readonly #pipes: readonly Pipe[]

  constructor(near: Socket, far: Socket, books: Books, mode: () => Mode) {
    this.#near = near
    this.#far = far
    const onCut = (): void => this.#cut()
    this.#pipes = [
      new Pipe('requests', near, far, books, mode, onCut),
      new Pipe('answers', far, near, books, mode, onCut),
    ]
    for (const socket of [near, far]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
    }
    // How one side ended, the other is told in the same manner; in a black hole nobody is told anything.
    const follow = (other: Socket) => (hadError: boolean) => {
      if (mode().is === 'black hole' && other === near) return
      if (hadError) other.resetAndDestroy()
      else if (!other.writableEnded) other.end()
      // A side that never ends by itself would be kept for ever.
      setTimeout(() => other.destroy(), 1_000).unref()
    }
    far.on('close', follow(near))
    near.on('close', follow(far))
    near.on('close', () => this.#stop())
  }

  cutAfter(bytes: number, direction: Direction): void {
    this.#pipes.find((pipe) => pipe.direction === direction)?.cutAfter(bytes)
  }

  halfClose(): void {
    this.#near.end()
  }

  reset(): void {
    this.#stop()
    this.#near.resetAndDestroy()
    this.#far.resetAndDestroy()
  }

  heal(): void {
    if (this.#pipes.some(({ hasLost }) => hasLost) || this.#far.destroyed) {
      this.reset()
      return
    }
    for (const pipe of this.#pipes) pipe.release()
  }

  /** A FIN after the last byte: a RST would take bytes along that the client has not read yet. */
  #cut(): void {
    this.#stop()
    this.#near.end()
    this.#far.destroy()
  }

  #stop(): void {
    for (const pipe of this.#pipes) pipe.stop()
  }
}
