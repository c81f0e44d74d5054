import { areOptions, invalidOption } from '../errors.js'
import {
  BY_KEY,
  IN_DEPTH,
  MERGE_RULE_NAMES,
  type MergeRuleName,
  type MergeRules,
  type Rule,
  type Rules,
} from '../session/merge-rules.js'
import { checkedOption, type Kind, kindOf, oneOf } from '../tools/options.js'

/** What a conflict function is given: three copies of the data, which it may change, as nobody else has them. */
export interface ConflictSides<Data> {
  /** What this request loaded. */
  readonly base: Data
  readonly mine: Data
  /** What stands now, as another request stored it meanwhile. */
  readonly current: Data
}

/**
 * What `save` does when another request has stored the session meanwhile.
 *
 * - `merge` merges by top-level key; of a key that both changed, the later save's value stands.
 * - `deep`, or rules by key, make one change of two changes of one key; `MergeRuleName` lists the rules.
 * - `reject` rejects with `E_SESSION_CONFLICT`.
 * - `overwrite` replaces the other request's change.
 * - A function returns the data to store, or throws to reject.
 */
export type ConflictPolicy<Data> =
  | 'merge'
  | 'deep'
  | 'reject'
  | 'overwrite'
  | MergeRules<Data>
  | ((sides: ConflictSides<Data>) => Data)

/** The policy as the store applies it. */
export type Conflict<Data> = 'reject' | 'overwrite' | Rules | ((sides: ConflictSides<Data>) => Data)

const NAMED = oneOf('merge', 'deep', 'reject', 'overwrite')

/** What the option `conflict` may be. The rules in it are checked by `conflictOf`. */
export const conflictKind: Kind<ConflictPolicy<unknown>> = {
  ...kindOf(
    `${NAMED.expected}, rules such as { keys: { cart: 'append' } }, or a function`,
    (value) => typeof value === 'function' || NAMED.accepts(value) || areOptions(value),
  ),
  ...(NAMED.choices === undefined ? {} : { choices: NAMED.choices }),
}

/**
 * Gives the policy as the store applies it.
 *
 * @throws SessionStoreError `E_CONFIG`, which names the rule as it was typed
 */
export const conflictOf = <Data>(policy: ConflictPolicy<Data> = 'merge'): Conflict<Data> => {
  if (typeof policy === 'function' || policy === 'reject' || policy === 'overwrite') return policy
  if (policy === 'merge') return BY_KEY
  if (policy === 'deep') return IN_DEPTH
  return rulesOf('conflict', policy)
}

const RULES_HAVE: ReadonlySet<string> = new Set(['default', 'keys'] satisfies (keyof MergeRules)[])

const A_RULE = oneOf(...MERGE_RULE_NAMES)
const RULES_BY_KEY: Kind<object> = kindOf("an object such as { cart: 'append' }", areOptions)
const A_RULE_OR_RULES: Kind<MergeRuleName | object> = {
  ...kindOf(
    `${A_RULE.expected}, or an object with rules for what stands in it`,
    (value) => A_RULE.accepts(value) || areOptions(value),
  ),
  choices: MERGE_RULE_NAMES,
}

const rulesOf = (name: string, given: object): Rules => {
  for (const [member, value] of Object.entries(given))
    if (!RULES_HAVE.has(member))
      throw invalidOption(`${name}.${member}`, 'left out: rules have only `default` and `keys`', value)
  const { default: rest = 'merge', keys = {} } = given as { readonly default?: unknown; readonly keys?: unknown }
  const ruleOf = (key: string, rule: unknown): Rule => {
    const option = `${name}.keys.${key}`
    const checked = checkedOption(option, rule, A_RULE_OR_RULES)
    return typeof checked === 'object' ? rulesOf(option, checked) : checked
  }
  return {
    rest: checkedOption(`${name}.default`, rest, A_RULE),
    keys: new Map(
      Object.entries(checkedOption(`${name}.keys`, keys, RULES_BY_KEY)).map(([key, rule]) => [key, ruleOf(key, rule)]),
    ),
  }
}
