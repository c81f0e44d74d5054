import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { BEHAVIOURS, type BehaviourName, type Framework } from './framework.js'

/*
 * The tables of `docs/frameworks/README.md`. Each cell of the matrix is a pass, which the suite has shown, or the number of a
 * limit, which stands below it with its reason.
 */

const require = createRequire(import.meta.url)

/** What an installed package is called, and its version. Some do not let their package.json be required, so it is looked up. */
const installed = (name: string): { readonly name: string; readonly version: string } => {
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as ReturnType<typeof installed>
    } catch {
      // It stands in a folder further up.
    }
  }
  throw new Error(`${name} is not installed`)
}

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

export const matrix = (frameworks: readonly Framework[]): string => {
  const limits: string[] = []
  const numberOf = (limit: string): number => {
    if (!limits.includes(limit)) limits.push(limit)
    return limits.indexOf(limit) + 1
  }
  const cell = ({ limits }: Framework, name: BehaviourName): string => {
    const limit = limits[name]
    return limit === undefined ? 'pass' : `limit ${numberOf(limit)}`
  }
  const names = Object.keys(BEHAVIOURS) as readonly BehaviourName[]
  const rows = frameworks.map((framework) => row([framework.name, ...names.map((name) => cell(framework, name))]))
  return [
    row(['', ...names]),
    row(['---', ...names.map(() => '---')]),
    ...rows,
    '',
    ...names.map((name) => `* \`${name}\`: ${BEHAVIOURS[name]}`),
    ...(limits.length === 0 ? [] : ['', ...limits.map((limit, index) => `${index + 1}. ${limit}`)]),
  ].join('\n')
}

export const costsTable = (frameworks: readonly Framework[]): string =>
  [
    row(['framework', 'import', 'tried with', 'a request that reads', 'a request that changes']),
    row(['---', '---', '---', '---', '---']),
    ...frameworks.map(({ name, subpath, packages, costs: { reading, changing } }) =>
      row([
        name,
        `\`${subpath}\``,
        packages.map(named).join(', '),
        `${reading.cache} + ${reading.backend}`,
        `${changing.cache} + ${changing.backend}`,
      ]),
    ),
  ].join('\n')

/** The table of the README: what to import for which framework. */
export const importsTable = (frameworks: readonly Framework[]): string =>
  [
    row(['framework', 'import', 'tried with']),
    row(['---', '---', '---']),
    ...frameworks.map(({ name, subpath, packages }) => row([name, `\`${subpath}\``, packages.map(named).join(', ')])),
  ].join('\n')

/** With a patch release of a framework the page stays as it is. */
const named = (dependency: string): string => {
  const { name, version } = installed(dependency)
  return `${name} ${version.split('.').slice(0, 2).join('.')}`
}

/** What stands between `<!-- name -->` and `<!-- end of name -->` in a page. */
export const tableIn = (page: string, name: string): string => {
  const text = readFileSync(join(dirname(require.resolve('../../package.json')), page), 'utf8')
  const [, rest] = text.split(`<!-- ${name} -->\n\n`)
  const [table, end] = rest?.split(`\n\n<!-- end of ${name} -->`) ?? []
  if (table === undefined || end === undefined) throw new Error(`${page} has no ${name}`)
  return table
}
