/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the page for people (user/http/page/), embedded when the program is built. */
#ifndef HTTP_ASSETS_H
#define HTTP_ASSETS_H

extern const char asset_index_html[]; /* with @CONTENT@ where that goes */
extern const char asset_page_css[];
extern const char asset_page_js[];

#endif
