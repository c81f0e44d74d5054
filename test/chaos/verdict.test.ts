import { describe, expect, test } from 'vitest'
import type { RowState } from '../concurrency/row-journal.js'
import type { OperationKind, Outcome } from '../simulation/history.js'
import type { Line, Seen } from './lines.js'
import type { Note } from './notes.js'
import { recordOf } from './record.js'
import { CACHES, STORE } from './store-options.js'
import { complaintsAbout, type Judgement, judgementOf, reservationsAbout, type Verdict } from './verdict.js'

/** A run of two processes, written by hand, one step every ten ms. */
class Story {
  readonly #lines = new Map<string, Line[]>([
    ['A1', []],
    ['B1', []],
    ['Z1', []],
  ])
  readonly #rows: RowState[] = []
  readonly #notes: Note[] = [{ is: 'moment', at: 0, what: 'load' }]
  #at = 0
  #n = 0

  constructor() {
    this.line('A1', { is: 'session', name: 's', id: 'id', key: 'key', server: CACHES[0] })
  }

  line(process: string, line: DistributedOmit<Line, 'at'>): this {
    this.#at += 10
    this.#lines.get(process)?.push({ ...line, at: this.#at } as Line)
    return this
  }

  note(note: DistributedOmit<Note, 'at'>): this {
    this.#at += 10
    this.#notes.push({ ...note, at: this.#at } as Note)
    return this
  }

  wait(ms: number): this {
    this.#at += ms
    return this
  }

  call(process: string, kind: OperationKind, token?: string, client = `${process}c1`): number {
    this.#n += 1
    this.line(process, {
      is: 'call',
      n: this.#n,
      kind,
      session: 's',
      client,
      ...(token === undefined ? {} : { token }),
    })
    return this.#n
  }

  /** From call to return, with nothing between. */
  does(process: string, kind: OperationKind, ended: Ended = {}, client?: string): this {
    const n = this.call(process, kind, ended.token, client)
    const { outcome = { is: 'ok' }, seen } = ended
    return this.line(process, {
      is: 'return',
      n,
      outcome,
      ...(seen === undefined ? {} : { seen: { log: seen, expiresAt: Number.MAX_SAFE_INTEGER } satisfies Seen }),
    })
  }

  created(): this {
    return this.line('A1', { is: 'lease', key: 'key' }).does('A1', 'create', {
      token: 's.0',
      outcome: BACKEND,
      seen: ['s.0'],
    })
  }

  /** A process that cannot see the entry writes to the row. */
  takenOver(process: string): this {
    const row = { idHash: 's', version: 1, content: '', isTombstone: false }
    this.#rows.push({ ...row, lineage: 'first' }, { ...row, lineage: 'second', version: 9, content: 'new' })
    return this.line(process, { is: 'takeover', key: 'key', lineage: 'second' })
  }

  writes(process: string, token: string, outcome: Outcome = CACHE): this {
    return this.does(process, 'save', { token, outcome })
  }

  loads(process: string, seen: readonly string[] | undefined, client?: string): this {
    return this.does(process, 'load', seen === undefined ? {} : { seen }, client)
  }

  /** Everything heals, a durable write, and the last look; far enough from all that had happened before. */
  ends(seen: readonly string[]): Judgement {
    this.note({ is: 'moment', what: 'end of load' }).note({ is: 'moment', what: 'end' })
    this.does('A1', 'update', { token: 's.end', outcome: BACKEND, seen: [...seen, 's.end'] }, 'end')
    this.note({ is: 'moment', what: 'written' }).loads('Z1', [...seen, 's.end'], 'end2')
    return this.isJudged()
  }

  isJudged(): Judgement {
    this.note({ is: 'moment', what: 'over' })
    return judgementOf(recordOf(this.#lines, this.#notes, this.#rows, 0), this.#rows, 1, {}, 0)
  }
}

type DistributedOmit<T, Name extends string> = T extends unknown ? Omit<T, Name> : never
type Ended = { readonly token?: string; readonly outcome?: Outcome; readonly seen?: readonly string[] }

const CACHE: Outcome = { is: 'ok', durability: 'cache' }
const BACKEND: Outcome = { is: 'ok', durability: 'backend' }
const FAILED: Outcome = { is: 'failed', code: 'E_SESSION_UNAVAILABLE', applied: 'unknown' }

const promises = ({ violations }: Judgement): string[] => [...new Set(violations.map(({ promise }) => promise))].sort()

/** Beyond what lingers of a disturbance. */
const LONG = 2 * (STORE.deadlineMs + 4 * STORE.backendTimeoutMs)

describe('a history without fault', () => {
  test('breaks no promise', () => {
    const judgement = new Story()
      .created()
      .writes('A1', 's.1')
      .loads('B1', ['s.0', 's.1'])
      .writes('B1', 's.2', BACKEND)
      .loads('A1', ['s.0', 's.1', 's.2'])
      .ends(['s.0', 's.1', 's.2'])
    expect(judgement.violations).toEqual([])
    expect(judgement.verdict).toMatchObject({
      requests: 5,
      acknowledged: 3,
      errors: 0,
      succeededWithOneTierUp: 1,
      hinderedByMachine: 0,
      lostWithinBound: 0,
      lostBeyondBound: 0,
      resurrected: 0,
      unsettled: 0,
    })
  })
})

describe('what was doctored is noticed:', () => {
  test('a session that comes back after its destroy', () => {
    const judgement = new Story()
      .created()
      .does('A1', 'destroy', { outcome: { is: 'ok', cacheToldOfEnd: true } })
      .loads('B1', ['s.0'])
      .isJudged()
    expect(promises(judgement)).toEqual(['I2'])
    expect(judgement.verdict.resurrected).toBe(1)
  })

  test('a write that is acknowledged after the destroy', () => {
    const judgement = new Story()
      .created()
      .does('A1', 'destroy', { outcome: { is: 'ok', cacheToldOfEnd: true } })
      .writes('B1', 's.1')
      .isJudged()
    expect(promises(judgement)).toEqual(['I2'])
  })

  test('a write lost without any loss', () => {
    const judgement = new Story().created().writes('A1', 's.1').ends(['s.0'])
    expect(promises(judgement)).toEqual(['I3'])
    expect(judgement.verdict).toMatchObject({ lostWithinBound: 0, lostBeyondBound: 1 })
  })

  test('more lost by one loss than it may cost, and no more than that is not', () => {
    const lose = (writes: number): Judgement => {
      const story = new Story().created()
      for (let write = 1; write <= writes; write += 1) story.writes('A1', `s.${write}`)
      return story.note({ is: 'lost', server: CACHES[0], why: 'flushed' }).wait(LONG).ends(['s.0'])
    }
    const within = lose(STORE.maxStaleCount - 1)
    expect(promises(within)).toEqual([])
    expect(within.verdict).toMatchObject({ lostWithinBound: STORE.maxStaleCount - 1, lostBeyondBound: 0 })
    const beyond = lose(STORE.maxStaleCount)
    expect(promises(beyond)).toEqual(['I4'])
    expect(beyond.verdict).toMatchObject({ lostWithinBound: STORE.maxStaleCount - 1, lostBeyondBound: 1 })
  })

  test('two losses that cost twice what one may, with no new life of the entry between them', () => {
    const lose = (again: boolean): Judgement => {
      const story = new Story().created()
      for (let write = 1; write < STORE.maxStaleCount; write += 1) story.writes('A1', `s.${write}`)
      story.note({ is: 'lost', server: CACHES[0], why: 'flushed' })
      if (again) story.line('A1', { is: 'lease', key: 'key' })
      for (let write = 1; write < STORE.maxStaleCount; write += 1) story.writes('B1', `s.1${write}`)
      return story.note({ is: 'lost', server: CACHES[0], why: 'killed' }).wait(LONG).ends(['s.0'])
    }
    expect(promises(lose(true))).toEqual([])
    expect(promises(lose(false))).toEqual(['I4'])
  })

  test('more lost with one life of the entry than it may hold, though there were losses enough', () => {
    const lose = (writes: number): Judgement => {
      const story = new Story().created().note({ is: 'lost', server: CACHES[0], why: 'flushed' })
      story.line('A1', { is: 'lease', key: 'key' })
      for (let write = 1; write <= writes; write += 1) story.writes('A1', `s.${write}`)
      return story.note({ is: 'lost', server: CACHES[0], why: 'flushed' }).wait(LONG).ends(['s.0'])
    }
    expect(promises(lose(STORE.maxStaleCount - 1))).toEqual([])
    const beyond = lose(STORE.maxStaleCount)
    expect(promises(beyond)).toEqual(['I4'])
    expect(beyond.verdict).toMatchObject({ lostWithinBound: STORE.maxStaleCount - 1, lostBeyondBound: 1 })
  })

  test('a loss of the other server, which excuses nothing', () => {
    const judgement = new Story()
      .created()
      .writes('A1', 's.1')
      .note({ is: 'lost', server: CACHES[1], why: 'flushed' })
      .wait(LONG)
      .ends(['s.0'])
    expect(promises(judgement)).toEqual(['I3'])
  })

  test('a loss that nobody saw, unless the server was full and somebody found nothing there', () => {
    const lose = (server: string): Judgement =>
      new Story()
        .created()
        .note({ is: 'full', server })
        .writes('A1', 's.1')
        .line('B1', { is: 'lease', key: 'key' })
        .wait(LONG)
        .ends(['s.0'])
    expect(promises(lose(CACHES[1]))).toEqual(['I3'])
    expect(promises(lose(CACHES[0]))).toEqual([])
  })

  test('a durable write that a read misses', () => {
    const judgement = new Story()
      .created()
      .writes('A1', 's.1', BACKEND)
      .note({ is: 'lost', server: CACHES[0], why: 'flushed' })
      .loads('B1', ['s.0'])
      .isJudged()
    expect(promises(judgement)).toEqual(['I5'])
  })

  test('a durable write of a process that was cut off is missed for a while only', () => {
    const cutOff = (): Story =>
      new Story()
        .created()
        .wait(200)
        .line('A1', { is: 'trouble', from: 200, tier: CACHES[0], why: 'reset' })
        .writes('A1', 's.1', BACKEND)
        .line('A1', { is: 'well', tier: CACHES[0] })
        .loads('B1', ['s.0'])
        .wait(LONG)
    const seenLate = cutOff().ends(['s.0', 's.1'])
    expect(promises(seenLate)).toEqual([])
    expect(seenLate.verdict.cutOff).toEqual({ requests: 1, servedAfterDestroy: 0, durableNotYetSeen: 1 })
    expect(promises(cutOff().ends(['s.0']))).toEqual(['I5'])
  })

  test('a destroy that could not tell the cache is believed at the end only', () => {
    const destroyed = (): Story =>
      new Story()
        .created()
        .does('A1', 'destroy', { outcome: { is: 'ok', cacheToldOfEnd: false } })
        .loads('B1', ['s.0'])
        .note({ is: 'moment', what: 'end of load' })
        .note({ is: 'moment', what: 'end' })
        .note({ is: 'moment', what: 'written' })
    const gone = destroyed().loads('Z1', undefined, 'end2').isJudged()
    expect(promises(gone)).toEqual([])
    expect(gone.verdict.cutOff.servedAfterDestroy).toBe(1)
    expect(promises(destroyed().loads('Z1', ['s.0'], 'end2').isJudged())).toEqual(['I2'])
  })

  test('a call that never settles, in a process that lives', () => {
    const story = (): Story => {
      const begun = new Story().created()
      begun.call('A1', 'load')
      return begun.wait(LONG)
    }
    expect(promises(story().isJudged())).toEqual(['I12'])
    expect(story().isJudged().verdict.unsettled).toBe(1)
    expect(promises(story().note({ is: 'gone', app: 'A1', closed: false }).isJudged())).toEqual([])
    const closed = story()
      .line('A1', { is: 'close', deadlineMs: 1_000 })
      .line('A1', { is: 'closed', left: 0, destroysLeft: 0 })
      .note({ is: 'gone', app: 'A1', closed: true })
    expect(promises(closed.isJudged())).toEqual(['I12'])
  })

  test('a call that settles after its deadline, unless its process could not run', () => {
    const slow = (stalled: boolean): Judgement => {
      const story = new Story().created()
      const n = story.call('A1', 'load')
      story.wait(LONG)
      if (stalled) story.line('A1', { is: 'stalled', from: 60 })
      return story
        .line('A1', {
          is: 'return',
          n,
          outcome: { is: 'ok' },
          seen: { log: ['s.0'], expiresAt: Number.MAX_SAFE_INTEGER },
        })
        .isJudged()
    }
    expect(promises(slow(false))).toEqual(['I12'])
    expect(promises(slow(true))).toEqual([])
  })

  test('a failure when nothing fails any more, unless the same was asked again and answered', () => {
    const failed = (): Story =>
      new Story().created().note({ is: 'moment', what: 'end' }).does('A1', 'load', { outcome: FAILED }, 'end1')
    expect(promises(failed().isJudged())).toEqual(['I12'])
    expect(promises(failed().loads('A1', ['s.0'], 'end1').isJudged())).toEqual([])
    expect(promises(failed().loads('B1', ['s.0'], 'end1').isJudged())).toEqual(['I12'])
  })

  test('no session where there is one', () => {
    expect(promises(new Story().created().loads('B1', undefined).isJudged())).toEqual(['I9'])
  })

  test("another session's data", () => {
    expect(promises(new Story().created().loads('B1', ['s.0', 'other.1']).isJudged())).toEqual(['I1'])
  })

  test('a write that stands there twice, or was said not to be', () => {
    expect(promises(new Story().created().writes('A1', 's.1').loads('B1', ['s.0', 's.1', 's.1']).isJudged())).toEqual([
      'applied once',
    ])
    expect(
      promises(
        new Story()
          .created()
          .writes('A1', 's.1', { is: 'failed', code: 'E_SESSION_CONFLICT', applied: 'no' })
          .loads('B1', ['s.0', 's.1'])
          .isJudged(),
      ),
    ).toEqual(['honest answers'])
  })

  test('a read that goes back', () => {
    const judgement = new Story()
      .created()
      .does('A1', 'save', { token: 's.1', outcome: FAILED })
      .loads('A1', ['s.0', 's.1'])
      .loads('B1', ['s.0'])
      .isJudged()
    expect(promises(judgement)).toEqual(['I6'])
  })

  test('what a process had acknowledged, lost after it had closed and left nothing', () => {
    const closed = (left: number, story = new Story().created()): Story =>
      story
        .writes('B1', 's.1')
        .line('B1', { is: 'close', deadlineMs: 1_000 })
        .line('B1', { is: 'closed', left, destroysLeft: 0 })
        .note({ is: 'gone', app: 'B1', closed: true })
    const lose = (story: Story): Judgement =>
      story.note({ is: 'lost', server: CACHES[0], why: 'flushed' }).wait(LONG).ends(['s.0'])
    expect(promises(lose(closed(0)))).toEqual(['I8'])
    expect(promises(lose(closed(1)))).toEqual([])

    const leftBehind = new Story().created().takenOver('A1')
    expect(promises(lose(closed(0, leftBehind)))).toEqual([])
    const livesAgain = new Story().created().takenOver('A1').line('A1', { is: 'lease', key: 'key' })
    expect(promises(lose(closed(0, livesAgain)))).toEqual(['I8'])
  })

  test('a drain that takes longer than it may', () => {
    const judgement = new Story()
      .created()
      .line('A1', { is: 'close', deadlineMs: 1_000 })
      .wait(5_000)
      .line('A1', { is: 'closed', left: 0, destroysLeft: 0 })
      .isJudged()
    expect(promises(judgement)).toEqual(['I12'])
  })

  test('an error that no call was told', () => {
    expect(promises(new Story().created().line('A1', { is: 'uncaught', error: 'oh' }).isJudged())).toEqual(['uncaught'])
  })
})

describe('the share of requests that succeeded', () => {
  const failing = (kind: OperationKind, ...wires: ('backend' | 'cache-1' | 'cache-2')[]): number => {
    const story = new Story().created()
    for (const wire of wires) story.note({ is: 'down', until: 10_000, place: 'A', wire })
    return story.wait(100).does('A1', kind, { outcome: FAILED }).isJudged().verdict.succeededWithOneTierUp
  }

  test('counts a failure while one tier was up', () => {
    expect(failing('load')).toBe(0.5)
    expect(failing('load', 'backend')).toBe(0.5)
    expect(failing('save', 'cache-1')).toBe(0.5)
    expect(failing('save', 'backend', 'cache-2')).toBe(0.5)
  })

  test('counts none while both were down, or the backend for what must be in it', () => {
    expect(failing('load', 'backend', 'cache-1')).toBe(1)
    expect(failing('destroy', 'backend')).toBe(1)
    expect(failing('create', 'backend')).toBe(1)
  })

  /** A failed load, long enough after the creation, and what was down or late at that moment. */
  const hindered = (
    { down, late }: { readonly down?: 'backend' | 'cache-1'; readonly late?: 'backend' | 'cache-1' | 'cache-2' },
    stalled = false,
    laterMs = 0,
  ): Partial<Verdict> => {
    const story = new Story().created().wait(LONG)
    if (down !== undefined) story.note({ is: 'down', until: 1_000_000, place: 'A', wire: down })
    story.wait(100)
    if (late !== undefined) story.note({ is: 'late', until: 3 * LONG, wire: late })
    if (stalled) story.line('A1', { is: 'stalled', from: LONG })
    if (laterMs > 0) story.wait(3 * LONG + laterMs)
    const { verdict } = story.does('A1', 'load', { outcome: FAILED }).isJudged()
    const { succeededWithOneTierUp, judgedForSuccess, hinderedByMachine } = verdict
    return { succeededWithOneTierUp, judgedForSuccess, hinderedByMachine }
  }
  test('counts one that failed after its server was late, or its process stood still, by a fault', () => {
    const afterFault = (): Story => new Story().created().wait(LONG)
    const stopped = afterFault()
      .note({ is: 'stopped', until: LONG + 500, app: 'A1' })
      .wait(500)
    const stalled = stopped.line('A1', { is: 'stalled', from: LONG + 20 }).does('A1', 'load', { outcome: FAILED })
    expect(stalled.isJudged().verdict).toMatchObject({ succeededWithOneTierUp: 0.5, hinderedByMachine: 0 })

    const killed = afterFault()
    for (const place of ['A', 'B', 'C'] as const) killed.note({ is: 'down', until: LONG + 500, place, wire: 'cache-1' })
    killed.note({ is: 'down', until: 3 * LONG, place: 'A', wire: 'backend' })
    killed.note({ is: 'late', until: LONG + 600, wire: 'cache-1' }).wait(700)
    killed.does('A1', 'load', { outcome: FAILED })
    expect(killed.isJudged().verdict).toMatchObject({ succeededWithOneTierUp: 0.5, hinderedByMachine: 0 })
  })

  const COUNTED = { succeededWithOneTierUp: 0.5, judgedForSuccess: 2, hinderedByMachine: 0 }
  const LEFT_OUT = { succeededWithOneTierUp: 1, judgedForSuccess: 1, hinderedByMachine: 1 }

  test('counts none for which the machine let one tier be late while the other was down', () => {
    expect(hindered({ down: 'backend', late: 'cache-1' })).toEqual(LEFT_OUT)
    expect(hindered({ down: 'cache-1', late: 'backend' })).toEqual(LEFT_OUT)
    expect(hindered({}, true)).toEqual(LEFT_OUT)
  })

  test('counts one that failed although one of its tiers was in time, or the machine was well again', () => {
    expect(hindered({ late: 'backend' })).toEqual(COUNTED)
    expect(hindered({ late: 'cache-1' })).toEqual(COUNTED)
    expect(hindered({ down: 'backend', late: 'cache-2' })).toEqual(COUNTED)
    expect(hindered({ down: 'backend', late: 'cache-1' }, false, 10_000)).toEqual(COUNTED)
  })
})

describe('what is said of a run', () => {
  const { verdict: good } = new Story().created().isJudged()
  const of = (change: Partial<Verdict>) => {
    const verdict = { ...good, judgedForSuccess: 1_000, ...change }
    return [complaintsAbout(verdict), reservationsAbout(verdict)]
  }

  test('a good one gets no complaint and no reservation', () => {
    expect(of({})).toEqual([[], []])
    expect(of({ succeededWithOneTierUp: 0.95, hinderedByMachine: 1_000 })).toEqual([[], []])
  })

  test.each<[string, Partial<Verdict>, string]>([
    ['broken promises', { violations: 3 }, 'promises were broken: 3 calls or states show it'],
    ['lost changes', { lostBeyondBound: 2 }, '2 acknowledged changes were lost beyond what the losses may cost'],
    ['calls that did not settle', { unsettled: 1 }, '1 calls settled after their deadline or never'],
    [
      'requests that failed',
      { succeededWithOneTierUp: 0.9412, hinderedByMachine: 999 },
      'only 94.12 % of the 1000 requests succeeded that could, where at least 95 % must',
    ],
  ])('%s are complained of, in words', (_, change, complaint) => {
    expect(of(change)).toEqual([[complaint], []])
  })

  test('a share of what is left on a machine that hindered most requests is no complaint but a reservation', () => {
    expect(of({ succeededWithOneTierUp: 0.5, hinderedByMachine: 1_001 })).toEqual([
      [],
      ['how many requests succeed, since the machine was too busy for 1001 of the 2001 that could'],
    ])
    // Promises are kept on any machine.
    expect(of({ violations: 1, hinderedByMachine: 5_000 })[0]).toHaveLength(1)
  })
})
