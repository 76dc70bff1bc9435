import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';

/** The top folder of the project. */
export const PROJECT = new URL('../../', import.meta.url).pathname;

/** One import, export-from or import() of a file of ours by another. Paths are from the top folder. */
export interface Import {
  from: string;
  to: string;
  /** True when nothing of it is left at run time. */
  typeOnly: boolean;
}

/** All TypeScript files below a folder of the project, as paths from the top folder. */
export async function sourceFiles(folder: string): Promise<string[]> {
  const entries = await readdir(join(PROJECT, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('node_modules'))
    .map((entry) => relative(PROJECT, join(entry.parentPath, entry.name)))
    .toSorted();
}

/** The text of a file without its comments (their line breaks stay). */
export async function sourceCode(file: string): Promise<string> {
  return withoutComments(await readFile(join(PROJECT, file), 'utf8'));
}

/** The specifiers that a text imports, packages too. */
export function parseImports(code: string): { specifier: string; typeOnly: boolean }[] {
  const found: { specifier: string; typeOnly: boolean }[] = [];
  for (const match of code.matchAll(/^[ \t]*(?:import|export)\b([^'"`;]*?)['"]([^'"]+)['"]/gm)) {
    const [, clause, specifier] = match;
    // An export without `from` is a declaration that has a string in it.
    if (!/\bfrom\s*$/.test(clause!) && clause!.trim() !== '') continue;
    found.push({ specifier: specifier!, typeOnly: isTypeOnly(clause!) });
  }
  for (const [, specifier] of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)) {
    found.push({ specifier: specifier!, typeOnly: false });
  }
  return found;
}

/** What a file of the project imports from other files of the project. */
export async function importsOf(file: string): Promise<Import[]> {
  return parseImports(await sourceCode(file))
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier, typeOnly }) => ({
      from: file,
      to: relative(PROJECT, resolve(PROJECT, dirname(file), specifier)),
      typeOnly,
    }));
}

function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const named = /^\s*\{([^}]*)\}\s*from\s*$/.exec(clause)?.[1];
  if (named === undefined) return false;
  const names = named.split(',').map((name) => name.trim()).filter((name) => name !== '');
  return names.length > 0 && names.every((name) => name.startsWith('type '));
}

/** Leaves strings and templates alone, in which // and slash-star are no comments. */
function withoutComments(text: string): string {
  return text.replaceAll(
    /('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (match, literal: string | undefined) => literal ?? match.replaceAll(/[^\n]/g, ''),
  );
}
