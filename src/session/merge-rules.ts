/**
 * How two changes of one value become one. A rule applies only where both sides changed the value, and only to the kind
 * of value that it is for. Where it does not fit, the later save's value stands.
 *
 * - `merge`: the value is one thing, and the later save's value stands.
 * - `sum`: for a counter (numbers, or bigints). The differences of both sides are added.
 * - `append`: for an array that only grew. What stands is followed by what the later save added.
 * - `union`: for a Set, or an array without equal members. What either side added is in, what either removed is not.
 * - `deep`: by the kind of the value. Plain objects and Maps are merged key by key, in depth, arrays as by `append`,
 * and Sets as by `union`.
 */
export type MergeRuleName = 'merge' | 'sum' | 'append' | 'union' | 'deep'

/** The rules that fit values of a type, besides those that fit any. */
type RuleByType<Value> = Value extends number | bigint
  ? 'sum'
  : Value extends readonly unknown[]
    ? 'append' | 'union'
    : Value extends ReadonlyMap<infer _Key, infer Entry>
      ? MergeRules<Record<string, Entry>>
      : Value extends ReadonlySet<infer _Member>
        ? 'union'
        : Value extends object
          ? MergeRules<Value>
          : never

/** The rule of one value: a name, or rules for what stands in it. */
export type MergeRule<Value = unknown> = unknown extends Value
  ? MergeRuleName | MergeRules
  : 'merge' | 'deep' | RuleByType<NonNullable<Value>>

/** Rules for the values of a plain object, which is the session's data or stands in it, or of a Map. */
export interface MergeRules<Data = Record<string, unknown>> {
  /** The rule of each key that `keys` does not name. @default 'merge' */
  readonly default?: MergeRuleName | undefined
  /** The rules of single keys. */
  readonly keys?: { readonly [Key in keyof Data]?: MergeRule<Data[Key]> } | undefined
}

/** Rules in the form in which they are applied. */
export interface Rules {
  readonly rest: Rule
  readonly keys: ReadonlyMap<unknown, Rule>
}

export type Rule = MergeRuleName | Rules

export const MERGE_RULE_NAMES: readonly MergeRuleName[] = ['merge', 'sum', 'append', 'union', 'deep']

const NO_KEYS: ReadonlyMap<unknown, Rule> = new Map()

/** Merges key by key. Of a key that both sides changed, the later save's value stands. */
export const BY_KEY: Rules = Object.freeze({ rest: 'merge', keys: NO_KEYS })

/** Merges in depth, by the kinds of the values. */
export const IN_DEPTH: Rules = Object.freeze({ rest: 'deep', keys: NO_KEYS })

/** Whether a rule can make more than one change of two equal ones, as for a counter that both sides raised by one. */
export const combines = ({ rest, keys }: Rules): boolean =>
  [rest, ...keys.values()].some((rule) => (typeof rule === 'string' ? rule !== 'merge' : combines(rule)))
