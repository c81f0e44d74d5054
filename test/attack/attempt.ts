import type { Ground } from './ground.js'

/** What somebody tries who stands at one place. Resolves to whether he got what he wanted. */
export type Attempt = (ground: Ground) => Promise<boolean>

/** An attempt that must fail, and the same one where a defence is missing: there it must succeed, or it shows nothing. */
export interface Held {
  readonly title: string
  readonly attempt: Attempt
  readonly control: { readonly title: string; readonly attempt: Attempt }
}

/** What the documentation says is not held. The attempt succeeds. */
export interface Limit {
  readonly title: string
  readonly attempt: Attempt
}

/** One row of the threat model in `docs/security.md`, by its name there. */
export interface Row {
  readonly name: string
  readonly held: readonly Held[]
  readonly limits: readonly Limit[]
}

/** An attempt that does the same thing to a defended and to an undefended store. */
export const held = <Given>(
  title: string,
  attempt: (ground: Ground, given: Given) => Promise<boolean>,
  defended: NoInfer<Given>,
  [control, undefended]: readonly [title: string, given: NoInfer<Given>],
): Held => ({
  title,
  attempt: (ground) => attempt(ground, defended),
  control: { title: control, attempt: (ground) => attempt(ground, undefended) },
})
