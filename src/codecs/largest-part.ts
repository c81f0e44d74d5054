import { indexStep, keyStep, mapKeyStep, mapValueStep, pathOf, placeOf, type Step, setStep } from './guard-path.js'

/** By what a part is the largest: by how many values it holds, or by how many bytes its texts and bytes have. */
export type Measure = 'values' | 'bytes'

/** The part of some data that is to be made smaller first. */
export interface LargestPart {
  /** How large the whole is at least. What is too much to look at is counted, and not looked into. */
  readonly size: number
  /** Where the part stands, by the names of the data: `data.cart`. */
  readonly path: string
  /** The same by positions; empty for the data itself. */
  readonly place: string
}

/** How many values are looked at. With more than that, the place of the largest part is told less deeply. */
const LOOKED_AT = 20_000

/** Deeper than this, no codec stores anything; a circle has no end. */
const DEEPEST = 256

interface Child {
  readonly step: Step
  readonly value: unknown
}

interface Look {
  readonly by: Measure
  left: number
  /** How many values stand in each object that was met: to list the keys of a huge one takes long. */
  readonly counts: Map<object, number>
}

/**
 * Finds the part of refused data that makes it large: the innermost one that holds at least half of what the part around
 * it holds. No getter is run. It takes no longer than a codec's own look at the data.
 */
export const largestPart = (data: unknown, by: Measure): LargestPart => {
  const steps: Step[] = []
  let size = 0
  try {
    const look: Look = { by, left: LOOKED_AT, counts: new Map() }
    let around = sizeOf(look, data)
    size = around
    for (let part = heaviestIn(look, data); part !== undefined; part = heaviestIn(look, part.value)) {
      if (2 * part.size < around) break
      steps.push(part.step)
      around = part.size
    }
  } catch {
    // A proxy, or what only claims to be a Map: what was found so far is told.
  }
  return { size, path: pathOf(steps), place: placeOf(steps) }
}

const heaviestIn = (look: Look, value: unknown): (Child & { readonly size: number }) | undefined => {
  if (countIn(look, value) > look.left) return undefined
  let heaviest: (Child & { readonly size: number }) | undefined
  for (const child of childrenOf(value)) {
    const size = sizeOf(look, child.value)
    if (look.by === 'values' && countIn(look, child.value) === 0) continue
    if (size > (heaviest?.size ?? 0)) heaviest = { ...child, size }
  }
  return heaviest
}

/** How large a value is, what stands in it included. */
const sizeOf = (look: Look, value: unknown, depth = 0): number => {
  look.left -= 1
  const count = countIn(look, value)
  if (count > look.left || depth > DEEPEST) return count + 1
  let size = look.by === 'values' ? 1 : bytesOf(value)
  for (const child of childrenOf(value)) size += sizeOf(look, child.value, depth + 1)
  return size
}

const bytesOf = (value: unknown): number => {
  if (typeof value === 'string') return value.length
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? value.byteLength : 1
}

/** How many values stand in a value directly: the elements of an array, or the keys and values of a Map. */
const countIn = ({ counts }: Look, value: unknown): number => {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return 0
  if (Array.isArray(value)) return value.length
  if (value instanceof Map) return 2 * value.size
  if (value instanceof Set) return value.size
  const count = counts.get(value) ?? Object.keys(value).length
  counts.set(value, count)
  return count
}

function* childrenOf(value: unknown): Generator<Child> {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return
  let index = 0
  if (Array.isArray(value)) {
    for (; index < value.length; index += 1) yield { step: indexStep(index), value: dataIn(value, index) }
  } else if (value instanceof Map) {
    for (const [key, entry] of value as Map<unknown, unknown>) {
      yield { step: mapKeyStep(index), value: key }
      yield { step: mapValueStep(key, index), value: entry }
      index += 1
    }
  } else if (value instanceof Set) {
    for (const member of value as Set<unknown>) {
      yield { step: setStep(index), value: member }
      index += 1
    }
  } else
    for (const key of Object.keys(value)) {
      yield { step: keyStep(key, index), value: dataIn(value, key) }
      index += 1
    }
}

/** What a property holds; nothing for a getter. */
const dataIn = (value: object, key: string | number): unknown => Object.getOwnPropertyDescriptor(value, key)?.value
