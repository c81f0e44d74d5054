import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Locked } from './lock.js'
import { failed, ok, some, type Verdict } from './verdict.js'

/** What a package may have that a user gets with this one; decision 34 says so. */
const ALLOWED = ['MIT', 'ISC', 'Apache-2.0', 'BlueOak-1.0.0', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause']

/** Whether a licence, or one of several to choose from, is allowed; of several that hold together each has to be. */
export const isAllowed = (licence: string): boolean =>
  licence
    .replace(/[()]/g, '')
    .split(' OR ')
    .some((choice) => choice.split(' AND ').every((name) => ALLOWED.includes(name.trim())))

/** The licence that an installed package names; `undefined` where it is not installed, and '' where it names none. */
export type LicenceOf = (locked: Locked) => string | undefined

/** Reads licences in the `node_modules` of `root`. */
export const licencesIn =
  (root: string): LicenceOf =>
  ({ path }) => {
    let text: string
    try {
      text = readFileSync(join(root, path, 'package.json'), 'utf8')
    } catch {
      return undefined
    }
    const { license } = JSON.parse(text) as { license?: string | { readonly type?: string } }
    return typeof license === 'string' ? license : (license?.type ?? '')
  }

/** Every package that a user gets with this one has a licence that is allowed. */
export const licencesVerdict = (packages: readonly Locked[], licenceOf: LicenceOf): Verdict => {
  const asked = packages.map((locked) => ({ locked, licence: licenceOf(locked) }))
  const absent = asked.filter(({ licence }) => licence === undefined)
  // A part for another system is not installed here; whoever has that system has the same package's licence for it.
  const missing = absent.filter(({ locked }) => locked.entry.optional !== true).map(({ locked }) => locked.name)
  if (missing.length > 0) return failed(`${some(missing)} is not installed`, 'Run npm ci')
  const wrong = asked
    .filter(({ licence }) => licence !== undefined && !isAllowed(licence))
    .map(({ locked, licence }) => `${locked.name} (${licence === '' ? 'none' : licence})`)
  if (wrong.length > 0)
    return failed(`not allowed: ${some(wrong)}`, 'Do without it, or allow its licence by a decision of its own')
  const others = absent.length === 0 ? '' : `; ${absent.length} for other systems are not installed here`
  return ok(`${asked.length - absent.length} packages come with it, under licences that are allowed${others}`)
}
