import { NO_LINEAGE, type StoredSession, type WriteId } from '../../src/contract/backend.js'
import { isAlone, type LiveEnvelope, neverDurable } from '../../src/session/envelope.js'
import { isLive, isStoredSession, lineageNumber, MOST_WRITES, ringMask, writesIn } from './data.js'
import type { Rules } from './rules.js'
import { type Frame, IN_BACKGROUND, type Vars } from './task.js'
import type { Actor, Budget, Entry, World } from './world.js'

/*
 * A world as a row of small numbers, the same for worlds that differ in names only: lineages are numbered as
 * they appear, processes that do the same are put in order, tokens are told apart by whether they fit.
 *
 * Objects that a step did not touch are shared between worlds, so the numbers of each are kept. In them a name
 * stands as a marked number, which is replaced when the world is written out.
 */

const LINEAGE = 10_000
const TOKEN = 100_000_000
const MASK = 10_000_000

const words = new Map<string, number>()

const wordNumber = (word: string): number => {
  let number = words.get(word)
  if (number === undefined) {
    number = words.size + 1
    words.set(word, number)
  }
  return number
}

const small = (value: number): number => {
  if (!Number.isInteger(value) || value < 0 || value >= LINEAGE) throw new RangeError(`No code for ${value}`)
  return value
}

const isFrame = (value: object): value is Frame<never> => 'resume' in value && 'vars' in value

const isWriteId = (value: unknown): boolean => typeof value === 'string' && value.startsWith('#')

interface Spelling {
  /** The numbers of one object, kept while it lives. */
  codeOf(value: object): readonly number[]
  actor(actor: Actor): readonly number[]
}

const spelling = (ringForgets: boolean): Spelling => {
  const codes = new WeakMap<object, readonly number[]>()

  /** Which write was first matters only where a ring forgets. */
  const spellRing = (ring: readonly WriteId[], into: number[]): void => {
    if (!ringForgets) into.push(MASK + ringMask(ring))
    else {
      into.push(ring.length)
      for (const id of ring) into.push(MASK + ringMask([id]))
    }
  }

  /** Envelopes, rows and frames are shared by many worlds; what else a task holds is not worth keeping. */
  const spellShared = (value: object, into: number[], how: (value: never, code: number[]) => void): void => {
    let code = codes.get(value)
    if (code === undefined) {
      const fresh: number[] = []
      how(value as never, fresh)
      code = fresh
      codes.set(value, code)
    }
    for (let at = 0; at < code.length; at += 1) into.push(code[at] ?? 0)
  }

  const codeOf = (value: object): readonly number[] => {
    let code = codes.get(value)
    if (code === undefined) {
      const fresh: number[] = []
      spellObject(value, fresh)
      code = fresh
      codes.set(value, code)
    }
    return code
  }

  const spell = (key: string, value: unknown, into: number[]): void => {
    switch (typeof value) {
      case 'number':
        if (key === 'token' || key === 'thaw' || key === 'over') into.push(TOKEN + value)
        else if (key === 'write') into.push(MASK + (1 << value))
        else into.push(small(value))
        return
      case 'boolean':
        into.push(value ? 1 : 0)
        return
      case 'undefined':
        into.push(2)
        return
      case 'string':
        if (value === NO_LINEAGE || value.startsWith('§')) into.push(LINEAGE + lineageNumber(value))
        else into.push(wordNumber(value))
        return
      case 'object':
        if (value === null) into.push(3)
        else spellObject(value, into)
        return
      default:
        throw new TypeError(`No code for a ${typeof value} under ${key}`)
    }
  }

  const spellEnvelope = (envelope: LiveEnvelope, into: number[]): void => {
    into.push(
      4,
      (envelope.frozen ? 1 : 0) + (envelope.unflushedAt > 0 ? 2 : 0) + (isOffered(envelope) ? 4 : 0),
      LINEAGE + lineageNumber(envelope.lineage),
      small(envelope.version),
      LINEAGE + lineageNumber(envelope.durableLineage),
      small(envelope.durableVersion),
      small(envelope.trustedAt),
      MASK + writesIn(envelope),
      small(envelope.createdAt),
    )
    spellRing(envelope.writeIds, into)
  }

  const spellRow = (row: StoredSession, into: number[]): void => {
    into.push(5, LINEAGE + lineageNumber(row.lineage), small(row.version), small(row.createdAt))
    into.push(MASK + writesIn(row))
    spellRing(row.writeIds, into)
  }

  const spellFrame = (frame: Frame<never>, into: number[]): void => {
    into.push(8, small(frame.step))
    spellFields(frame.vars, into)
  }

  const spellObject = (value: object, into: number[]): void => {
    if (isLive(value)) spellShared(value, into, spellEnvelope)
    else if (isStoredSession(value)) spellShared(value, into, spellRow)
    else if (isFrame(value)) spellShared(value, into, spellFrame)
    else if (value instanceof Uint8Array) into.push(6, MASK + (value[0] ?? 0))
    else if (Array.isArray(value)) {
      into.push(7, value.length)
      if (value.every(isWriteId)) spellRing(value, into)
      else for (const item of value) spell('', item, into)
    } else {
      into.push(9)
      spellFields(value as Vars, into)
    }
  }

  const spellFields = (fields: Vars, into: number[]): void => {
    const start = into.length
    into.push(0)
    let count = 0
    for (const key in fields) {
      count += 1
      into.push(wordNumber(key))
      spell(key, fields[key], into)
    }
    into[start] = count
  }

  const spellActor = (actor: Actor): readonly number[] => {
    let code = codes.get(actor)
    if (code === undefined) {
      const { kind, ops, held, noted, floor, isCutOff, isElsewhere, isAway, failedLooks, noticed, task } = actor
      const into: number[] = [
        kind,
        ops.length,
        MASK + floor,
        (isCutOff ? 1 : 0) + (isElsewhere ? 2 : 0) + (isAway ? 4 : 0) + 8 * failedLooks,
        noticed,
        noted,
      ]
      // Of those that follow upon what is owed, their number tells which they are.
      const [current, following] = ops
      if (current === undefined) into.push(0)
      else spell('', current, into)
      if (following !== undefined && IN_BACKGROUND.has(following.do)) spell('', following, into)
      if (held === undefined) into.push(0)
      else spell('', held, into)
      if (task === undefined) into.push(0)
      else {
        spell('', task.command, into)
        spell('', task.next, into)
      }
      code = into
      codes.set(actor, code)
    }
    return code
  }

  return { codeOf, actor: spellActor }
}

/** Which processes are interchangeable, by their places. */
const classesOf = (actors: readonly Actor[]): readonly (readonly number[])[] => {
  const classes = new Map<number, number[]>()
  actors.forEach(({ kind }, index) => {
    classes.set(kind, [...(classes.get(kind) ?? []), index])
  })
  return [...classes.values()].filter((places) => places.length > 1)
}

export interface Encoder {
  /** Writes the world out; the numbers are in `numbers`, as many as it returns. */
  encode(world: World): number
  readonly numbers: Int32Array
}

/** Whether a session that stands in the cache alone has the mark that somebody brings it to the backend. */
const isOffered = (envelope: LiveEnvelope): boolean => neverDurable(envelope) && !isAlone(envelope)

export const encoder = (first: World, rules: Rules, ringForgets: boolean): Encoder => {
  const { codeOf, actor: spellActor } = spelling(ringForgets)
  const numbers = new Int32Array(4_096)
  const exactTokens = rules.steps.tokens === 'survive' || rules.steps.commands === 'survive'
  const classes = classesOf(first.actors)
  const faults = (Object.keys(first.budget) as (keyof Budget)[]).filter((fault) => first.budget[fault] > 0)
  const writesOf = first.actors.map(({ writes }) => writes)
  const owns = writesOf.map((bits) => bits.reduce((mask, bit) => mask | (1 << bit), 0))
  const localNames: number[] = []
  const identity = Uint8Array.from({ length: 256 }, (_, mask) => mask)
  const tables = new Map<string, Uint8Array>()
  const renamed = new Int32Array(LINEAGE)
  const stamp = new Int32Array(LINEAGE)
  let round = 0
  let names = 0
  let length = 0
  let world = first
  let masks: Uint8Array = identity

  const nameOf = (lineage: number): number => {
    if (lineage === 0) return 0
    if (stamp[lineage] !== round) {
      names += 1
      stamp[lineage] = round
      renamed[lineage] = names
    }
    return renamed[lineage] ?? 0
  }

  const tokenCode = (token: number): number => {
    if (!exactTokens) {
      if (token === world.cache.token && world.cache.entry !== undefined) return 1
      return world.other?.entry !== undefined && token === world.other.token ? 2 : 0
    }
    const isOld = Math.floor(token / 1_000) === world.cache.generation ? 0 : 1
    return 2 + isOld + 2 * (token % 1_000)
  }

  const write = (code: readonly number[]): void => {
    for (let at = 0; at < code.length; at += 1) {
      const number = code[at] ?? 0
      if (number < LINEAGE) numbers[length] = number
      else if (number < MASK) numbers[length] = nameOf(number - LINEAGE)
      else if (number < TOKEN) numbers[length] = masks[number - MASK] ?? 0
      else numbers[length] = tokenCode(number - TOKEN)
      length += 1
    }
  }

  const mask = (value: number): void => {
    numbers[length] = masks[value] ?? 0
    length += 1
  }

  const plain = (...values: readonly number[]): void => {
    for (const value of values) {
      numbers[length] = value
      length += 1
    }
  }

  /** A number by which interchangeable processes are put in order; a tie costs a merge and nothing else. */
  const rank = (actor: Actor, place: number): number => {
    const own = owns[place] ?? 0
    const code = spellActor(actor)
    let hash = 17
    let locals = 0
    for (let at = 0; at < code.length; at += 1) {
      const number = code[at] ?? 0
      if (number < LINEAGE) hash = stir(hash, number)
      else if (number < MASK) {
        const lineage = number - LINEAGE
        if (lineage === 0 || stamp[lineage] === round) hash = stir(hash, lineage === 0 ? 0 : (renamed[lineage] ?? 0))
        else {
          // One that neither tier knows: numbered within this process.
          let local = 0
          while (local < locals && localNames[local] !== lineage) local += 1
          if (local === locals) {
            localNames[local] = lineage
            locals += 1
          }
          hash = stir(hash, 100 + local)
        }
      } else if (number < TOKEN) hash = stir(hash, seenFrom(own, number - MASK))
      else hash = stir(hash, tokenCode(number - TOKEN))
    }
    const { past, cache, row } = world
    hash = stir(hash, seenFrom(own, past.acked))
    hash = stir(hash, seenFrom(own, past.durable))
    hash = stir(hash, seenFrom(own, past.refused))
    if (cache.entry?.kind === 'live') hash = stir(hash, seenFrom(own, writesIn(cache.entry)))
    if (row.state === 'live') hash = stir(hash, seenFrom(own, writesIn(row.session)))
    if (row.state === 'destroyed' && row.by !== undefined) hash = stir(hash, seenFrom(own, 1 << row.by))
    return hash
  }

  const order = first.actors.map((_, index) => index)
  const ranks = first.actors.map(() => 0)

  /** Puts `order` in order; whether that changes anything. */
  const sortProcesses = (): boolean => {
    let isMoved = false
    for (let index = 0; index < classes.length; index += 1) {
      const places = classes[index] ?? []
      for (let at = 0; at < places.length; at += 1) {
        const place = places[at] ?? 0
        const actor = world.actors[place]
        const mine = actor === undefined ? 0 : rank(actor, place)
        // By insertion: there are two or three of them.
        let to = at
        while (to > 0 && (ranks[places[to - 1] ?? 0] ?? 0) > mine) {
          const [above = 0, here = 0] = [places[to - 1], places[to]]
          order[here] = order[above] ?? above
          ranks[here] = ranks[above] ?? 0
          to -= 1
        }
        const here = places[to] ?? 0
        order[here] = place
        ranks[here] = mine
        if (to !== at) isMoved = true
      }
    }
    return isMoved
  }

  const tableFor = (): Uint8Array => {
    const key = order.join()
    let table = tables.get(key)
    if (table === undefined) {
      const moved = [0, 1, 2, 3, 4, 5, 6, 7]
      order.forEach((from, to) => {
        writesOf[from]?.forEach((bit, index) => {
          moved[bit] = writesOf[to]?.[index] ?? bit
        })
      })
      table = Uint8Array.from(identity, (value) =>
        moved.reduce((all, to, bit) => all | (((value >> bit) & 1) << to), 0),
      )
      tables.set(key, table)
    }
    return table
  }

  const start = (): void => {
    round += 1
    names = 0
    length = 0
  }

  const writeEntry = (entry: Entry): void => {
    if (entry === undefined) plain(0)
    else if (entry.kind === 'lease') plain(1)
    else if (entry.kind === 'tombstone') plain(entry.isAlone === true ? 4 : 2)
    else if (entry.kind === 'large') plain(3)
    else if (entry.kind === 'nothing') plain(10, entry.trustedAt)
    else write(codeOf(entry))
  }

  const writeTiers = (): void => {
    const { cache, other, row } = world
    writeEntry(cache.entry)
    if (other !== undefined) writeEntry(other.entry)
    if (row.state === 'live') write(codeOf(row.session))
    else if (row.state === 'absent') plain(0)
    else if (row.by === undefined) plain(row.isEmpty ? 3 : 1)
    else {
      plain(row.isEmpty ? 4 : 2)
      mask(1 << row.by)
    }
  }

  const encode: Encoder['encode'] = (next) => {
    world = next
    masks = identity
    start()
    writeTiers()
    if (classes.length > 0 && sortProcesses()) {
      masks = tableFor()
      start()
      writeTiers()
    }
    for (let place = 0; place < world.actors.length; place += 1) {
      const actor = world.actors[order[place] ?? place]
      if (actor !== undefined) write(spellActor(actor))
    }
    plain(world.late.length)
    for (const command of world.late) write(codeOf(command))
    const { budget, past, cache } = world
    for (const fault of faults) plain(budget[fault])
    mask(past.acked)
    mask(past.durable)
    mask(past.refused)
    mask(past.drained)
    mask(past.seen)
    plain(past.losses, past.destroy === 'no' ? 0 : past.destroy === 'begun' ? 1 : 2, past.destroyedIn)
    plain(world.era, world.ended, world.closed.call, world.closed.life)
    plain(
      (past.backendWasDown ? 1 : 0) +
        (past.outageWasFree ? 16 : 0) +
        (world.backendIsDown ? 2 : 0) +
        (cache.isDown ? 4 : 0) +
        (world.idIsOut ? 8 : 0) +
        // What a step did wrong may lead to a world that was met before.
        (past.wrong === undefined ? 0 : 32),
      world.outagesEnded,
    )
    plain(world.newRows.length === 0 ? 0 : 1)
    if (world.newRows.length > 0) {
      for (let write = 0; write <= MOST_WRITES; write += 1) {
        const fresh = world.newRows[write]
        const place = 31 - Math.clz32(masks[1 << write] ?? 1)
        numbers[length + place] = fresh === undefined ? 0 : fresh === 'destroyed' ? 1 : 2 + (masks[fresh.writes] ?? 0)
      }
      length += MOST_WRITES + 1
    }
    if (past.movedWith === undefined) plain(0)
    else {
      plain(1)
      mask(past.movedWith)
    }
    if (exactTokens) plain(cache.changes, cache.token % 1_000)
    return length
  }

  return { encode, numbers }
}

/** A set of writes as the process that makes `own` of them sees it: which of its own, and how many others. */
const seenFrom = (own: number, mask: number): number => {
  const mine = mask & own
  return (own === 0 ? 0 : mine / (own & -own)) * 8 + bitsIn(mask & ~own)
}

const stir = (hash: number, value: number): number => {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

const bitsIn = (mask: number): number => {
  let bits = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) bits += 1
  return bits
}
