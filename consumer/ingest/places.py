"""Places by each platform's rule: countries, states and provinces, postal codes, streets.

Source: ISO 3166-1 (alpha-2, alpha-3, English short names and the common ones, some names at home), ISO 3166-2:US with
the district and the territories as the US postal service abbreviates them, ISO 3166-2:CA, USPS Publication 28 for
words of streets, AWS's uploader for Amazon Marketing Cloud (normalisers of October 2025) for Amazon's postal codes.
"""

import re
from collections.abc import Mapping

from consumer.ingest.spelling import (
    composed,
    composed_in_case,
    numbered_words,
    only_ascii,
    plain,
    spelled_out,
)

_COUNTRIES = """
AD AND Andorra; AE ARE United Arab Emirates|UAE; AF AFG Afghanistan; AG ATG Antigua and Barbuda; AI AIA Anguilla;
AL ALB Albania; AM ARM Armenia; AO AGO Angola; AQ ATA Antarctica; AR ARG Argentina; AS ASM American Samoa;
AT AUT Austria|Österreich; AU AUS Australia; AW ABW Aruba; AX ALA Åland Islands|Aland Islands; AZ AZE Azerbaijan;
BA BIH Bosnia and Herzegovina; BB BRB Barbados; BD BGD Bangladesh; BE BEL Belgium|België|Belgique;
BF BFA Burkina Faso; BG BGR Bulgaria; BH BHR Bahrain; BI BDI Burundi; BJ BEN Benin; BL BLM Saint Barthélemy;
BM BMU Bermuda; BN BRN Brunei Darussalam|Brunei; BO BOL Bolivia; BQ BES Bonaire, Sint Eustatius and Saba;
BR BRA Brazil|Brasil; BS BHS Bahamas|The Bahamas; BT BTN Bhutan; BV BVT Bouvet Island; BW BWA Botswana;
BY BLR Belarus; BZ BLZ Belize; CA CAN Canada; CC CCK Cocos Islands; CD COD Democratic Republic of the Congo;
CF CAF Central African Republic; CG COG Congo|Republic of the Congo; CH CHE Switzerland|Schweiz|Suisse|Svizzera;
CI CIV Côte d'Ivoire|Ivory Coast; CK COK Cook Islands; CL CHL Chile; CM CMR Cameroon; CN CHN China; CO COL Colombia;
CR CRI Costa Rica; CU CUB Cuba; CV CPV Cabo Verde|Cape Verde; CW CUW Curaçao|Curacao; CX CXR Christmas Island;
CY CYP Cyprus; CZ CZE Czechia|Czech Republic; DE DEU Germany|Deutschland; DJ DJI Djibouti; DK DNK Denmark|Danmark;
DM DMA Dominica; DO DOM Dominican Republic; DZ DZA Algeria; EC ECU Ecuador; EE EST Estonia; EG EGY Egypt;
EH ESH Western Sahara; ER ERI Eritrea; ES ESP Spain|España; ET ETH Ethiopia; FI FIN Finland|Suomi; FJ FJI Fiji;
FK FLK Falkland Islands; FM FSM Micronesia; FO FRO Faroe Islands; FR FRA France; GA GAB Gabon;
GB GBR United Kingdom|Great Britain|UK|United Kingdom of Great Britain and Northern Ireland; GD GRD Grenada;
GE GEO Georgia; GF GUF French Guiana; GG GGY Guernsey; GH GHA Ghana; GI GIB Gibraltar; GL GRL Greenland;
GM GMB Gambia|The Gambia; GN GIN Guinea; GP GLP Guadeloupe; GQ GNQ Equatorial Guinea; GR GRC Greece;
GS SGS South Georgia and the South Sandwich Islands; GT GTM Guatemala; GU GUM Guam; GW GNB Guinea-Bissau;
GY GUY Guyana; HK HKG Hong Kong; HM HMD Heard Island and McDonald Islands; HN HND Honduras; HR HRV Croatia;
HT HTI Haiti; HU HUN Hungary; ID IDN Indonesia; IE IRL Ireland; IL ISR Israel; IM IMN Isle of Man; IN IND India;
IO IOT British Indian Ocean Territory; IQ IRQ Iraq; IR IRN Iran; IS ISL Iceland; IT ITA Italy|Italia; JE JEY Jersey;
JM JAM Jamaica; JO JOR Jordan; JP JPN Japan|日本; KE KEN Kenya; KG KGZ Kyrgyzstan; KH KHM Cambodia; KI KIR Kiribati;
KM COM Comoros; KN KNA Saint Kitts and Nevis; KP PRK North Korea; KR KOR South Korea|Republic of Korea|Korea;
KW KWT Kuwait; KY CYM Cayman Islands; KZ KAZ Kazakhstan; LA LAO Laos; LB LBN Lebanon; LC LCA Saint Lucia;
LI LIE Liechtenstein; LK LKA Sri Lanka; LR LBR Liberia; LS LSO Lesotho; LT LTU Lithuania; LU LUX Luxembourg;
LV LVA Latvia; LY LBY Libya; MA MAR Morocco; MC MCO Monaco; MD MDA Moldova; ME MNE Montenegro; MF MAF Saint Martin;
MG MDG Madagascar; MH MHL Marshall Islands; MK MKD North Macedonia; ML MLI Mali; MM MMR Myanmar|Burma;
MN MNG Mongolia; MO MAC Macao|Macau; MP MNP Northern Mariana Islands; MQ MTQ Martinique; MR MRT Mauritania;
MS MSR Montserrat; MT MLT Malta; MU MUS Mauritius; MV MDV Maldives; MW MWI Malawi; MX MEX Mexico|México;
MY MYS Malaysia; MZ MOZ Mozambique; NA NAM Namibia; NC NCL New Caledonia; NE NER Niger; NF NFK Norfolk Island;
NG NGA Nigeria; NI NIC Nicaragua; NL NLD Netherlands|Nederland|The Netherlands|Holland; NO NOR Norway|Norge;
NP NPL Nepal; NR NRU Nauru; NU NIU Niue; NZ NZL New Zealand; OM OMN Oman; PA PAN Panama; PE PER Peru;
PF PYF French Polynesia; PG PNG Papua New Guinea; PH PHL Philippines; PK PAK Pakistan; PL POL Poland|Polska;
PM SPM Saint Pierre and Miquelon; PN PCN Pitcairn; PR PRI Puerto Rico; PS PSE Palestine|State of Palestine;
PT PRT Portugal; PW PLW Palau; PY PRY Paraguay; QA QAT Qatar; RE REU Réunion|Reunion; RO ROU Romania; RS SRB Serbia;
RU RUS Russia|Russian Federation; RW RWA Rwanda; SA SAU Saudi Arabia; SB SLB Solomon Islands; SC SYC Seychelles;
SD SDN Sudan; SE SWE Sweden|Sverige; SG SGP Singapore;
SH SHN Saint Helena, Ascension and Tristan da Cunha|Saint Helena; SI SVN Slovenia; SJ SJM Svalbard and Jan Mayen;
SK SVK Slovakia; SL SLE Sierra Leone; SM SMR San Marino; SN SEN Senegal; SO SOM Somalia; SR SUR Suriname;
SS SSD South Sudan; ST STP Sao Tome and Principe; SV SLV El Salvador; SX SXM Sint Maarten; SY SYR Syria;
SZ SWZ Eswatini|Swaziland; TC TCA Turks and Caicos Islands; TD TCD Chad; TF ATF French Southern Territories;
TG TGO Togo; TH THA Thailand; TJ TJK Tajikistan; TK TKL Tokelau; TL TLS Timor-Leste|East Timor; TM TKM Turkmenistan;
TN TUN Tunisia; TO TON Tonga; TR TUR Türkiye|Turkey; TT TTO Trinidad and Tobago; TV TUV Tuvalu; TW TWN Taiwan;
TZ TZA Tanzania; UA UKR Ukraine; UG UGA Uganda; UM UMI United States Minor Outlying Islands;
US USA United States|United States of America; UY URY Uruguay; UZ UZB Uzbekistan; VA VAT Holy See|Vatican City;
VC VCT Saint Vincent and the Grenadines; VE VEN Venezuela; VG VGB British Virgin Islands; VI VIR US Virgin Islands;
VN VNM Viet Nam|Vietnam; VU VUT Vanuatu; WF WLF Wallis and Futuna; WS WSM Samoa; YE YEM Yemen; YT MYT Mayotte;
ZA ZAF South Africa; ZM ZMB Zambia; ZW ZWE Zimbabwe; XK XKX Kosovo
"""
_US_STATES = """
AL Alabama; AK Alaska; AZ Arizona; AR Arkansas; CA California; CO Colorado; CT Connecticut; DE Delaware;
DC District of Columbia|Washington DC; FL Florida; GA Georgia; HI Hawaii; ID Idaho; IL Illinois; IN Indiana; IA Iowa;
KS Kansas; KY Kentucky; LA Louisiana; ME Maine; MD Maryland; MA Massachusetts; MI Michigan; MN Minnesota;
MS Mississippi; MO Missouri; MT Montana; NE Nebraska; NV Nevada; NH New Hampshire; NJ New Jersey; NM New Mexico;
NY New York; NC North Carolina; ND North Dakota; OH Ohio; OK Oklahoma; OR Oregon; PA Pennsylvania; RI Rhode Island;
SC South Carolina; SD South Dakota; TN Tennessee; TX Texas; UT Utah; VT Vermont; VA Virginia; WA Washington;
WV West Virginia; WI Wisconsin; WY Wyoming; AS American Samoa; GU Guam; MP Northern Mariana Islands; PR Puerto Rico;
VI US Virgin Islands; AA Armed Forces Americas; AE Armed Forces Europe; AP Armed Forces Pacific
"""
_CA_PROVINCES = """
AB Alberta; BC British Columbia; MB Manitoba; NB New Brunswick; NL Newfoundland and Labrador; NS Nova Scotia;
NT Northwest Territories; NU Nunavut; ON Ontario; PE Prince Edward Island; QC Quebec|Québec; SK Saskatchewan; YT Yukon
"""
_US_STREETS = """
ALY Alley; AVE Avenue; BLDG Building; BLVD Boulevard; CIR Circle; CT Court; DR Drive; EXPY Expressway; FL Floor;
FWY Freeway; HWY Highway; LN Lane; PKWY Parkway; PL Place; PLZ Plaza; RD Road; RM Room; SQ Square; ST Street;
STE Suite; TER Terrace; TPKE Turnpike; TRL Trail; APT Apartment; N North; S South; E East; W West; NE Northeast;
NW Northwest; SE Southeast; SW Southwest
"""
_ENDING_WORDS = ",.;:!()[]{}"
_WORDS_APART = bytes.maketrans(_ENDING_WORDS.encode(), b" " * len(_ENDING_WORDS))
_OTHER_SIGNS = bytes(
    code
    for code in range(128)
    if not (chr(code).isalnum() or chr(code).isspace() or chr(code) in _ENDING_WORDS)
)
_POSTAL_DIGITS = {"jp": 7, "in": 6}
_POSTAL_LETTERS = {
    "ca": re.compile(r"(?:[a-z]\d){3}", re.ASCII),
    "gb": re.compile(r"[a-z]{1,2}(?:\d{2,3}|\d[a-z]\d)[a-z]{2}", re.ASCII),
}
_REGION_CODE = 2
_US_ZIP = 5


def letters(text: str) -> str:
    """Lower case without anything but letters and digits: how names are looked up.

    >>> letters("Côte d'Ivoire")
    'côtedivoire'
    """
    return "".join(character for character in text.lower() if character.isalnum())


def _by_name(table: str, codes: int) -> dict[str, str]:
    """Each code and each name to the first code, lower case."""
    found = {}
    for line in table.strip().split(";"):
        *short, names = line.strip().split(maxsplit=codes)
        for name in (*short, *names.split("|")):
            found[letters(name)] = short[0].lower()
    return found


COUNTRIES = _by_name(_COUNTRIES, 2)
US_STATES = _by_name(_US_STATES, 1)
CA_PROVINCES = _by_name(_CA_PROVINCES, 1)
US_STREETS = _by_name(_US_STREETS, 1)


def country(raw: str) -> str:
    """ISO 3166-1 alpha-2 in lower case, from either code or the name; empty if there is no such country.

    >>> country("DE"), country("United States"), country("GBR"), country("Atlantis")
    ('de', 'us', 'gb', '')
    """
    return COUNTRIES.get(raw.lower()) or COUNTRIES.get(letters(composed(raw)), "")


def regions(raw: str, land: str) -> Mapping[str, str]:
    """Code of a US state, or the name of a region; a code with its country's prefix loses it.

    The other form is a code of two letters: of the US and Canada by name as well, elsewhere if it is given as one.

    >>> regions("California", "us")["region"], regions("US-CA", "us")["region"], regions("Bayern", "de")
    ('ca', 'ca', {'region': 'bayern', 'region_code': ''})
    >>> regions("Ontario", "ca")
    {'region': 'ontario', 'region_code': 'on'}
    """
    text = composed(raw).strip()
    region = plain(text.removeprefix(f"{land}-") if land else text)
    if land in {"us", ""}:
        region = US_STATES.get(region, region)
    code = CA_PROVINCES.get(region, region) if land == "ca" else region
    return {"region": region, "region_code": code if _is_region_code(code) else ""}


def _is_region_code(text: str) -> bool:
    return len(text) == _REGION_CODE and text.isascii() and text.isalpha()


def postal_codes(raw: str, land: str) -> Mapping[str, str]:
    """Without spaces and dashes, of the US the first five digits; the same if it is digits only; Amazon's short form.

    Amazon's form keeps the case of British and Canadian codes. A code that is none there has no such form.

    >>> postal_codes("94035-1234", "us")
    {'postal_code': '94035', 'postal_code_digits': '94035', 'postal_code_short': '94035'}
    >>> postal_codes("SW1A 1AA", "gb"), postal_codes("1229-076", "pt")["postal_code_short"]
    ({'postal_code': 'sw1a1aa', 'postal_code_digits': '', 'postal_code_short': 'SW1A1AA'}, '12290')
    """
    code = plain(composed(raw))
    if land == "us":
        code = code[:_US_ZIP]
    digits = code if code.isascii() and code.isdigit() else ""
    return {"postal_code": code, "postal_code_digits": digits, "postal_code_short": _short(raw, code, land)}


def _short(raw: str, code: str, land: str) -> str:
    if land in _POSTAL_LETTERS:
        return (
            "".join(filter(str.isalnum, composed_in_case(raw)))
            if _POSTAL_LETTERS[land].fullmatch(code)
            else ""
        )
    size = _POSTAL_DIGITS.get(land, _US_ZIP)
    digits = "".join(each for each in code if each.isascii() and each.isdigit())[:size]
    return digits if len(digits) == size else ""


def streets(raw: str, land: str) -> Mapping[str, str]:
    """Words and numbers, one space apart; and the same in ASCII without spaces, words of US streets abbreviated.

    A street of which no letter is left in ASCII has no short form: its number alone would be many houses.

    >>> streets("123 Main Street, Apt #4", "us")
    {'street': '123 main street apt 4', 'street_short': '123mainstapt4'}
    """
    text = composed(raw)
    short = _us_street(text) if land == "us" else only_ascii(spelled_out(text))
    return {"street": numbered_words(text), "street_short": "" if short.isdigit() else short}


def _us_street(text: str) -> str:
    words = spelled_out(text).encode("ascii", "ignore").translate(_WORDS_APART, _OTHER_SIGNS).decode().split()
    joined = "".join([US_STREETS.get(word, word) for word in words])
    return US_STREETS.get(joined, joined)
