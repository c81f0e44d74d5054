import type { Sameness } from './sameness.js'

/** The value that was made of two changes of one value; `undefined` where they do not fit the rule. */
export type Combined = { readonly value: unknown } | undefined

/** Combines a counter: adds the differences of both sides. A counter that was not there counts as zero. */
export const sum = (base: unknown, mine: unknown, current: unknown): Combined => {
  if (typeof mine === 'bigint' && typeof current === 'bigint') {
    const from = base ?? 0n
    return typeof from === 'bigint' ? { value: current + (mine - from) } : undefined
  }
  const from = base ?? 0
  if (typeof from !== 'number' || typeof mine !== 'number' || typeof current !== 'number') return undefined
  const value = current + (mine - from)
  return Number.isFinite(value) ? { value } : undefined
}

/**
 * Combines an array that only grew: what stands, followed by what I added to it.
 *
 * @param descends whether what stands was made from `base`, as between two requests. Then it has to begin with `base`,
 *   and so does mine. Otherwise what I added may stand anywhere in mine.
 */
export const append = (
  base: unknown,
  mine: unknown,
  current: unknown,
  { sameness: { isSame }, descends }: { readonly sameness: Sameness; readonly descends: boolean },
): Combined => {
  const from = base ?? []
  if (!Array.isArray(from) || !Array.isArray(mine) || !Array.isArray(current)) return undefined
  const beginsAlike = (grown: readonly unknown[]): boolean =>
    grown.length >= from.length && from.every((member, at) => isSame(member, grown[at]))
  if (descends) {
    const grew = beginsAlike(mine) && beginsAlike(current)
    return grew ? { value: [...current, ...mine.slice(from.length)] } : undefined
  }
  let met = 0
  const added = mine.filter((member) => {
    const isOld = met < from.length && isSame(from[met], member)
    if (isOld) met += 1
    return !isOld
  })
  return met === from.length ? { value: [...current, ...added] } : undefined
}

/**
 * Combines a Set, or an array that is used as one: what I added is in it, what I removed is not, and the rest is as it
 * stands.
 */
export const union = (base: unknown, mine: unknown, current: unknown, { tokenOf }: Sameness): Combined => {
  const [before, after, standing] = [
    membersOf(base ?? [], tokenOf),
    membersOf(mine, tokenOf),
    membersOf(current, tokenOf),
  ]
  if (before === undefined || after === undefined || standing === undefined) return undefined
  if (Array.isArray(mine) !== Array.isArray(current)) return undefined
  for (const token of before.keys()) if (!after.has(token)) standing.delete(token)
  for (const [token, member] of after) if (!before.has(token) && !standing.has(token)) standing.set(token, member)
  const members = [...standing.values()]
  return { value: Array.isArray(mine) ? members : new Set(members) }
}

const membersOf = (value: unknown, tokenOf: Sameness['tokenOf']): Map<unknown, unknown> | undefined => {
  if (!Array.isArray(value) && !(value instanceof Set)) return undefined
  const members = new Map<unknown, unknown>()
  for (const member of value) members.set(tokenOf(member), member)
  // Where an array has equal members, nobody can tell which of them was removed.
  return Array.isArray(value) && members.size !== value.length ? undefined : members
}
