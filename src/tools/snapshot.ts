import { types } from 'node:util'
import { isPlainObject } from './is-plain-object.js'

/** The codecs refuse what stands deeper, and say so. */
const DEEPEST = 1_000

/**
 * A copy of data as it is now, which later changes of the data do not reach: of plain objects, arrays, maps, sets and dates,
 * however they stand in each other. Anything else is left as it is, for the codec to judge.
 */
export const snapshotOf = <Value>(value: Value): Value => copied(value, new Map(), 0) as Value

const copied = (value: unknown, made: Map<object, unknown>, depth: number): unknown => {
  if (typeof value !== 'object' || value === null || depth > DEEPEST) return value
  // What refers to itself does so in the copy.
  if (made.has(value)) return made.get(value)
  const remembered = <Copy>(copy: Copy): Copy => {
    made.set(value, copy)
    return copy
  }
  const inside = (part: unknown): unknown => copied(part, made, depth + 1)
  if (isPlainObject(value)) {
    const copy = remembered(Object.create(Object.getPrototypeOf(value) as object | null) as object)
    for (const name of Reflect.ownKeys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, name)
      if (property === undefined) continue
      const given: PropertyDescriptor = 'value' in property ? { ...property, value: inside(property.value) } : property
      Object.defineProperty(copy, name, given)
    }
    return copy
  }
  // An instance of a class that extends one of these is for the codec to judge.
  switch (Object.getPrototypeOf(value) as object | null) {
    case Array.prototype: {
      if (!Array.isArray(value)) return value
      const copy = remembered(new Array<unknown>(value.length))
      for (const [index, element] of Object.entries(value)) Reflect.set(copy, index, inside(element))
      return copy
    }
    case Map.prototype: {
      if (!types.isMap(value)) return value
      const copy = remembered(new Map<unknown, unknown>())
      for (const [key, part] of value) copy.set(inside(key), inside(part))
      return copy
    }
    case Set.prototype: {
      if (!types.isSet(value)) return value
      const copy = remembered(new Set<unknown>())
      for (const member of value) copy.add(inside(member))
      return copy
    }
    case Date.prototype:
      return types.isDate(value) ? remembered(new Date(value)) : value
    default:
      return value
  }
}
