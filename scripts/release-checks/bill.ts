/** The bill of materials: what a user gets with the package, in CycloneDX. Decision 34 says how it is made. */
import type { Locked } from './lock.js'

interface Component {
  readonly 'bom-ref'?: string
  readonly name?: string
  readonly version?: string
  readonly purl?: string
  readonly hashes?: readonly { readonly alg?: string; readonly content?: string }[]
}

/** A bill of materials, as far as it is looked at here. */
export interface Bill {
  readonly bomFormat?: string
  readonly specVersion?: string
  readonly serialNumber?: string
  readonly version?: number
  readonly metadata?: { readonly timestamp?: string; readonly component?: Component }
  readonly components?: readonly Component[]
  readonly dependencies?: readonly { readonly ref?: string; readonly dependsOn?: readonly string[] }[]
}

/** A path of some machine: of its root, or of a drive. */
const MACHINE_PATH = /(?:^|[\s"'(=])(?:file:\/\/)?(?:\/(?:[\w.@+-]+\/)+|[A-Z]:\\)/

const textsIn = (value: unknown): readonly string[] =>
  typeof value === 'string'
    ? [value]
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(textsIn)
      : []

const inHex = (integrity: string): string => Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex')

/** What is wrong with a bill of materials for a package that comes with `packages`; nothing if it is right. */
export const complaintsAboutBill = (
  bill: Bill,
  { name, version }: { readonly name: string; readonly version: string },
  packages: readonly Locked[],
): readonly string[] => {
  const complaints: string[] = []
  const expect = (holds: boolean, complaint: string): void => {
    if (!holds) complaints.push(complaint)
  }
  const components = bill.components ?? []
  const subject = bill.metadata?.component
  expect(bill.bomFormat === 'CycloneDX', 'it does not say that it is CycloneDX')
  expect(/^1\.[5-9]$/.test(bill.specVersion ?? ''), 'it is not of CycloneDX 1.5 or later')
  expect(/^urn:uuid:[\da-f-]{36}$/.test(bill.serialNumber ?? ''), 'it has no serial number')
  expect(bill.version === 1, 'it is not its first version')
  expect(!Number.isNaN(Date.parse(bill.metadata?.timestamp ?? '')), 'it does not say when it was made')
  expect(
    subject?.name === name && subject.version === version && subject.purl === `pkg:npm/${name}@${version}`,
    `it is not about ${name} ${version}`,
  )

  const listed = new Map(components.map((component) => [`${component.name}@${component.version}`, component]))
  expect(listed.size === components.length, 'it names a package twice')
  const wanted = new Map(packages.map((locked) => [`${locked.name}@${locked.entry.version}`, locked]))
  for (const [key, { entry }] of wanted) {
    const component = listed.get(key)
    if (component === undefined) complaints.push(`it lacks ${key}`)
    else {
      const hash = component.hashes?.find(({ alg }) => alg === 'SHA-512')?.content
      const isRight = entry.integrity === undefined ? hash === undefined : hash === inHex(entry.integrity)
      expect(isRight, `it has another hash for ${key} than the lock`)
      expect(component.purl?.startsWith('pkg:npm/') === true, `it has no address for ${key}`)
    }
  }
  for (const key of listed.keys()) expect(wanted.has(key), `it has ${key}, which does not come with the package`)

  const refs = new Set([subject, ...components].map((component) => component?.['bom-ref']))
  for (const { ref, dependsOn = [] } of bill.dependencies ?? [])
    for (const one of [ref, ...dependsOn]) expect(refs.has(one), `it has no component for ${one}`)
  expect(
    (bill.dependencies ?? []).some(({ ref, dependsOn = [] }) => ref === subject?.['bom-ref'] && dependsOn.length > 0),
    'it does not say what the package depends on',
  )
  for (const text of textsIn(bill)) expect(!MACHINE_PATH.test(text), 'it has a path of this machine')
  return complaints
}
